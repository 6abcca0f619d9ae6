"""amodal calibrate: what the scores of a model mean."""

from pathlib import Path

import typer

from amodal.cli.shown import print_figures, print_json, say


def calibrate(
    run: str = typer.Argument("", help="A run folder or CLIP-like model; by default the packaged one, with --out."),
    data: str = typer.Option("", help="Pairs it was not trained on; by default the validation split of its own data."),
    split: str = typer.Option("", help="A split of the source; by default validation where there is one, else all."),
    out: str = typer.Option("", help="A file for the calibration, and the run stays as it is; by default in the run."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
    as_json: bool = typer.Option(False, "--json", help="Print the figures as one JSON object."),
) -> None:
    """Learns what the scores of a model mean: the chance that a picture and a text belong together, and when to say
    that nothing fits. The figures are those on the pairs that it learnt from.

    amodal calibrate runs/transfer
    """
    from amodal.core.devices import pick_device
    from amodal.core.errors import UsageError
    from amodal.features import FeatureCache
    from amodal.inference.door import DEFAULT
    from amodal.recipes import calibrate_run

    if not run and not out:
        raise UsageError("the packaged model stays as it is; name a run, or a file for the calibration with --out")
    path, target = run or DEFAULT, Path(out) if out else None
    found = calibrate_run(path, data=data, split=split, out=target, device=pick_device(device), cache=FeatureCache())
    if as_json:
        print_json({"run": run, "figures": {name: figure.to_json() for name, figure in found.figures.items()}})
    else:
        print_figures(found.figures)
    say(f"written: {target or Path(path) / 'calibration.json'}")
