"""amodal evaluate: judge a run on its own test split or on any source."""

import typer

from amodal.cli.shown import print_figures, print_json, say


def evaluate(
    run: str = typer.Argument(help="A run folder, or with --data any CLIP-like model."),
    data: str = typer.Option("", help="What to judge it on; by default the test split of its own data."),
    split: str = typer.Option("", help="A split of the source; by default test where there is one, else everything."),
    templates: str = typer.Option("", help="Prompt templates for zero-shot; by default those of the recipe."),
    candidates: int = typer.Option(
        -1, help="Of how many a retrieval chooses; 0: of all; by default as the recipe says."
    ),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
    as_json: bool = typer.Option(False, "--json", help="Print the figures as one JSON object."),
) -> None:
    """Judges a run: retrieval both ways, and zero-shot classification where the data has classes.

    amodal evaluate runs/transfer --data photos/
    """
    from amodal.core.devices import pick_device
    from amodal.features import FeatureCache
    from amodal.recipes import evaluate_run

    figures = evaluate_run(
        run,
        data=data,
        split=split,
        templates=templates,
        candidates=None if candidates < 0 else candidates,
        device=pick_device(device),
        cache=FeatureCache(),
        say=say,
    )
    if as_json:
        print_json({"run": run, "figures": {name: figure.to_json() for name, figure in figures.items()}})
    else:
        print_figures(figures)
