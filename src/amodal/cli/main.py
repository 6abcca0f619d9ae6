"""The door: verbs, exit codes, and how an error is told (0 done, 1 failed, 2 wrong use, 130 and 143 by a signal)."""

import sys
from typing import NoReturn

import typer

from amodal.cli import classify, encode, evaluate, recipes, train
from amodal.cli import demo as demo_verb
from amodal.core.errors import AmodalError, UsageError

app = typer.Typer(
    help="Align image and language towers on your own pairs, measure what was gained, and use it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("classify")(classify.classify)
app.command("encode")(encode.encode)
app.command("demo")(demo_verb.demo)
app.add_typer(recipes.app, name="recipes")


@app.callback(invoke_without_command=True)
def options(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Align image and language towers on your own pairs, measure what was gained, and use it."""
    if version:
        from amodal import __version__

        print(f"amodal {__version__}")
        raise typer.Exit


def main() -> NoReturn:
    """Runs the command line and exits with its code."""
    debug = "--debug" in sys.argv
    try:
        app(standalone_mode=True)
    except AmodalError as error:
        if debug:
            raise
        print(f"amodal: {error}", file=sys.stderr)
        sys.exit(_code(error))
    except KeyboardInterrupt:
        print("amodal: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        print(f"amodal: unexpected {type(error).__name__}: {error}; --debug shows where", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


def _code(error: AmodalError) -> int:
    stopped_by = getattr(error, "signal_number", None)
    if stopped_by is not None:
        return 128 + stopped_by
    return 2 if isinstance(error, UsageError) else 1
