"""amodal train: run a recipe, or go on with a stopped run."""

from pathlib import Path

import typer

from amodal.cli.shown import print_figures, print_json, say


def train(
    recipe: str = typer.Argument("transfer", help="A recipe's name (see `amodal recipes`) or a .yaml file."),
    data: str = typer.Option(
        "", help="Your pairs: a caption table, a folder, shards; by default what the recipe names."
    ),
    settings: list[str] = typer.Option(
        [], "--set", help="key=value over the recipe, as training.epochs=3; repeatable."
    ),
    out: Path | None = typer.Option(None, help="The run folder to make; by default runs/NAME."),
    resume: Path | None = typer.Option(None, help="Go on with this stopped run."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
    as_json: bool = typer.Option(False, "--json", help="Print the figures as one JSON object."),
) -> None:
    """Trains by a recipe, evaluates on the test split and writes a run folder with a report.

    amodal train transfer --data my.csv
    """
    from amodal.core.devices import pick_device
    from amodal.core.errors import Interrupted, UsageError
    from amodal.core.ranks import joined
    from amodal.features import FeatureCache
    from amodal.recipes import read_recipe, run_recipe
    from amodal.recipes import resume as resume_run
    from amodal.runs import RunFolder, default_run_path
    from amodal.training import LostRank, Stopped

    if resume is not None and (data or settings or out is not None):
        raise UsageError("--resume goes on by the recipe in the run; leave out --data, --set and --out")
    cache, path = FeatureCache(), resume
    try:
        with joined(pick_device(device)) as (ranks, where):
            if resume is not None:
                done = resume_run(resume, device=where, cache=cache, say=say, ranks=ranks)
            else:
                loaded = read_recipe(recipe, [*settings, *([f"data.source={data}"] if data else [])])
                path = out or default_run_path(loaded.name)
                done = run_recipe(loaded, path, device=where, cache=cache, say=say, ranks=ranks)
            if ranks.rank:
                return
    except (Stopped, LostRank, Interrupted, OSError):
        if path is not None and RunFolder(path).recipe.exists():
            say(f"to go on: amodal train --resume {path}")
        raise
    if as_json:
        print_json({"run": str(done.folder.path), "figures": {name: f.to_json() for name, f in done.figures.items()}})
    else:
        print_figures(done.figures)
    say(f"run folder: {done.folder.path}\nreport: {done.folder.report}")
