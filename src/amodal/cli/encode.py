"""amodal encode: the vectors of a source, as Parquet."""

from pathlib import Path

import typer

from amodal.cli.shown import say


def encode(
    data: str = typer.Argument(help="A caption table, a folder of pictures, shards, or `bundled`."),
    out: Path = typer.Option(help="The Parquet file to write."),
    model: str = typer.Option("", help="A run folder; by default the packaged model."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
) -> None:
    """Writes one row a readable picture: its key, captions, and the unit vectors of picture and first caption.

    Of a folder of pictures without captions: key (the file's name) and picture alone.

    amodal encode photos.csv --out vectors.parquet
    """
    import amodal
    from amodal.data.sources import open_pictures
    from amodal.inference import encode_table

    loaded = amodal.load(model or None, device=device)
    say(f"model: {loaded.name}")
    table = open_pictures(data)
    written = encode_table(loaded, table, out)
    for entry in table.skipped.entries:
        say(f"skipped {entry.key}: {entry.reason}")
    say(f"{written:,} rows in {out}")
