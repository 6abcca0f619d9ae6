"""amodal audit: what a model cannot do, measured."""

from pathlib import Path

import typer

from amodal.cli.shown import print_json, print_limits, say

app = typer.Typer(no_args_is_help=True)


@app.callback()
def audit() -> None:
    """Measures what a model cannot do.

    amodal audit limits
    """


@app.command("limits")
def limits(
    runs: list[str] = typer.Argument(
        None, help='Run folders or CLIP-like models, side by side; "packaged", the default, is the packaged one.'
    ),
    count: int = typer.Option(400, help="Trials for each limit, as far as there are so many."),
    split: str = typer.Option("seen", help="Of the scenes: seen, held-out-concepts, held-out-combinations ..."),
    out: Path = typer.Option(Path("limits"), help="The folder that gets limits.html."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
    as_json: bool = typer.Option(False, "--json", help="Print the figures as one JSON object."),
) -> None:
    """Counting, left and right, above and below, which attribute is whose, negation, siblings, rare and abstract names:
    how often the true sentence fits better than the false one.

    amodal audit limits
    """
    from amodal.audit import all_trials, measure, write_limits_page
    from amodal.inference import load_any

    loaded = [load_any(run, device=device) for run in runs or [None]]
    trials = all_trials(count, split=split)
    measured = measure({model.name: model.match for model in loaded}, trials, split)
    page = write_limits_page(out / "limits.html", measured)
    if as_json:
        print_json(measured.to_json())
    else:
        print_limits(measured)
    say(f"report: {page}")
