"""amodal encode: the vectors of a source, as Parquet."""

from pathlib import Path
from typing import cast

import typer

from amodal.cli.shown import open_model, say


def encode(
    data: str = typer.Argument(help="A caption table, a folder of pictures, shards, or `bundled`."),
    out: Path = typer.Option(help="The Parquet file to write."),
    model: str = typer.Option("", help="A run folder or any CLIP-like model; by default the packaged one."),
    kind: str = typer.Option("float32", "--type", help="float32, float16, or int8 with a scale a vector."),
    max_skipped: float = typer.Option(0.05, min=0, max=1, help="The share of pictures that may be unreadable."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
) -> None:
    """Writes one row a readable picture: its key, captions, and the unit vectors of picture and first caption.

    Of a folder of pictures without captions: key (the file's name) and picture alone. Run again after it was killed,
    it goes on where it was.

    amodal encode photos.csv --out vectors.parquet
    """
    from amodal.data.sources import open_pictures
    from amodal.inference import encode_table
    from amodal.search import VectorType

    loaded = open_model(model, device)
    table = open_pictures(data, max_skipped=max_skipped)
    written = encode_table(loaded, table, out, kind=cast(VectorType, kind))
    for entry in table.skipped.entries:
        say(f"skipped {entry.key}: {entry.reason}")
    say(f"{written:,} rows in {out}")
