"""amodal classify: which of these labels fits a picture."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from amodal.cli.shown import open_model, print_json, say

if TYPE_CHECKING:
    from amodal.inference import LabelScore


def classify(
    pictures: list[Path] = typer.Argument(help="Pictures, or folders of them."),
    labels: str = typer.Option(help="Labels, separated by commas."),
    model: str = typer.Option("", help="A run folder or any CLIP-like model; by default the packaged one."),
    calibration: Path | None = typer.Option(None, help="What `amodal calibrate --out` wrote, in place of its own."),
    top: int = typer.Option(5, min=1, help="How many labels to print for a picture."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object with every label."),
) -> None:
    """Says which label fits each picture best, with the chance that it does, and "no good match" where none fits. In
    JSON also shares, which sum to one over the labels given. A model that is not calibrated shows cosines.

    amodal classify cat.jpg --labels "cat,dog,bicycle"
    """
    from amodal.data.folders import picture_files

    paths = [path for given in pictures for path in picture_files(given)]
    loaded = open_model(model, device, calibration)
    if "labels" not in loaded.calibrations:
        say("this model is not calibrated, so that its numbers are cosines; to calibrate it: amodal calibrate RUN")
    found = loaded.label(paths, [label.strip() for label in labels.split(",")])
    if as_json:
        results = [
            {"path": str(path), "labels": each.labels, "no_match": each.no_match}
            for path, each in zip(paths, found, strict=True)
        ]
        print_json({"results": results})
        return
    for path, each in zip(paths, found, strict=True):
        shown = "  ".join(_shown(score) for score in each.labels[:top])
        print(f"{path}  " + (f"no good match (nearest: {shown})" if each.no_match else shown))


def _shown(score: "LabelScore") -> str:
    if score["probability"] is None:
        return f"{score['label']} {score['cosine']:.3f}"
    return f"{score['label']} {score['probability']:.0%}"
