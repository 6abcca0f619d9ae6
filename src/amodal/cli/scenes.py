"""amodal scenes: pictures whose truth is known, as files."""

from pathlib import Path

import typer

from amodal.cli.shown import say


def scenes(
    out: Path = typer.Option(help="The folder to write; absent or empty."),
    count: int = typer.Option(1000, help="How many scenes."),
    seed: int = typer.Option(0, help="Another seed, other scenes."),
    split: str = typer.Option(
        "train",
        help="train, validation, seen, validation-concepts, held-out-concepts or held-out-combinations.",
    ),
    language: str = typer.Option("en", help="Of the nouns: any bundled language; en, de and es have whole sentences."),
    size: int = typer.Option(128, help="Pixels to a side."),
    form: str = typer.Option(
        "webdataset", "--format", help="webdataset, or coco: pictures, Parquet, annotations.json."
    ),
) -> None:
    """Writes scenes of bundled pictures with captions, boxes, masks, questions with answers, and false captions.

    amodal scenes --out scenes --count 1000 --seed 1
    """
    from amodal.data.scenes import Scenes, write_scenes

    write_scenes(Scenes(split, seed=seed, size=size, language=language, count=count), out, form)
    say(f"{count:,} scenes in {out}; pass them on with {out / 'ATTRIBUTION.txt'}")
