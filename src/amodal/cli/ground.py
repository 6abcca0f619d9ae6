"""amodal ground: where in a picture the words of a sentence are."""

from pathlib import Path

import typer

from amodal.cli.shown import print_json, say


def ground(
    picture: Path = typer.Argument(help="A picture."),
    sentence: str = typer.Argument(help="What to look for in it."),
    model: Path = typer.Option(help="The run folder of a reader, as `amodal train matching` makes one."),
    out: Path | None = typer.Option(None, help="Also draw boxes and heat maps into this PNG file."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object, with the map of every word."),
) -> None:
    """Says whether a sentence fits a picture, and where each of its phrases is.

    amodal ground cat.jpg "a cat left of a cup" --model runs/matching --out found.png
    """
    from amodal.data.pictures import FileRef
    from amodal.inference import draw_grounding, load_fused

    fused = load_fused(model, device=device)
    say(f"model: {fused.name}")
    image = FileRef(picture).image()
    found = fused.ground(image, sentence)
    if out is not None:
        draw_grounding(found, image, out)
        say(f"wrote {out}")
    if as_json:
        print_json({"path": str(picture), **found.to_json()})
        return
    if found.probability is not None:
        print(f"fits: {found.probability:.0%}")
    for phrase in found.phrases:
        print(f"{phrase.text}  {phrase.probability:.0%}  box {', '.join(map(str, phrase.box))}")
    if not found.phrases:
        print("no word of the sentence is known to mean a thing")
