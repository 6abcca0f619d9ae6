"""amodal demo: the whole path in minutes, on the bundled set and three photographs."""

from pathlib import Path

import typer

from amodal.cli.shown import print_figures, say

PHOTOS = ("cat", "coffee", "rocket")
LABELS = ("cat", "dog", "cup of coffee", "rocket", "bicycle", "person")


def demo(
    out: Path | None = typer.Option(None, help="The run folder to make; by default runs/demo."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
) -> None:
    """Trains the demo recipe, judges it on concepts it never saw, and labels three photographs.

    amodal demo
    """
    import amodal
    from amodal.core.devices import pick_device
    from amodal.data.bundled import photos
    from amodal.features import FeatureCache
    from amodal.recipes import load_recipe, run_recipe
    from amodal.runs import default_run_path

    recipe = load_recipe("demo")
    done = run_recipe(
        recipe, out or default_run_path(recipe.name), device=pick_device(device), cache=FeatureCache(), say=say
    )
    print_figures(done.figures)
    files = photos()
    model = amodal.load(done.folder.path, device=device)
    for name, scores in zip(PHOTOS, model.classify([files[name] for name in PHOTOS], LABELS), strict=True):
        print(f"{files[name].name:12}  " + "  ".join(f"{score['label']} {score['share']:.0%}" for score in scores[:3]))
    print(f"report: {done.folder.report.resolve()}")
