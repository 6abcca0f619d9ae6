"""amodal study: test one claim about a method, and say whether it held."""

import shlex
from pathlib import Path

import typer

from amodal.cli.shown import print_json, print_study, say


def study(
    name: str = typer.Argument("", help="A study; without one, they are listed."),
    settings: list[str] = typer.Option(
        [], "--set", help="key=value over the study, as seeds=8; tiny=true for a try of seconds; repeatable."
    ),
    out: Path | None = typer.Option(None, help="The folder to make or to go on with; by default studies/NAME."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as one JSON object."),
) -> None:
    """Runs a study: a claim, measured over several seeds, with a plot, a table and a verdict.

    amodal study temperature
    """
    from amodal.studies import STUDIES, run_study, study_class

    if not name:
        if as_json:
            fields = ("name", "claim", "rule", "cost")
            print_json({"studies": [{field: getattr(kind, field) for field in fields} for kind in STUDIES.values()]})
        else:
            for kind in STUDIES.values():
                print(f"{kind.name}\n  claim: {kind.claim}\n  cost: {kind.cost}")
        return
    from amodal.core.errors import Interrupted
    from amodal.features import FeatureCache
    from amodal.runs import default_run_path
    from amodal.training import Stopped

    kind = study_class(name)
    folder = out or default_run_path(name, Path("studies"))
    try:
        done = run_study(kind, folder, settings, cache=FeatureCache(), say=say)
    except (Stopped, Interrupted, OSError):
        again = shlex.join(word for setting in settings for word in ("--set", setting))
        say(f"to go on: amodal study {name} --out {folder} {again}".rstrip())
        raise
    if as_json:
        print_json(done.to_json())
    else:
        print_study(done)
    say(f"report: {folder / 'report.html'}")
