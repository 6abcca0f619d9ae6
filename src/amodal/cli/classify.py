"""amodal classify: which of these labels fits a picture."""

from pathlib import Path

import typer

from amodal.cli.shown import print_json, say


def classify(
    pictures: list[Path] = typer.Argument(help="Pictures, or folders of them."),
    labels: str = typer.Option(help="Labels, separated by commas."),
    model: str = typer.Option("", help="A run folder; by default the packaged model."),
    top: int = typer.Option(5, min=1, help="How many labels to print for a picture."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object with every label."),
) -> None:
    """Says which label fits each picture best. Shares sum to one over the labels given.

    amodal classify cat.jpg --labels "cat,dog,bicycle"
    """
    import amodal
    from amodal.data.folders import picture_files

    paths = [path for given in pictures for path in picture_files(given)]
    loaded = amodal.load(model or None, device=device)
    say(f"model: {loaded.name}")
    found = loaded.classify(paths, [label.strip() for label in labels.split(",")])
    if as_json:
        print_json({"results": [{"path": str(p), "labels": scores} for p, scores in zip(paths, found, strict=True)]})
        return
    for path, scores in zip(paths, found, strict=True):
        print(f"{path}  " + "  ".join(f"{score['label']} {score['share']:.0%}" for score in scores[:top]))
