"""The door: verbs, exit codes, and how an error is told (0 done, 1 failed, 2 wrong use, 130 and 143 by a signal)."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer

from amodal.cli import (
    audit,
    calibrate,
    classify,
    doctor,
    encode,
    evaluate,
    ground,
    recipes,
    scenes,
    serve,
    study,
    train,
)
from amodal.cli import demo as demo_verb
from amodal.cli import index as index_verb
from amodal.cli import search as search_verb
from amodal.core.errors import AmodalError, Interrupted, UsageError

app = typer.Typer(
    help="Align image and language towers on your own pairs, measure what was gained, and use it.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("calibrate")(calibrate.calibrate)
app.command("classify")(classify.classify)
app.command("ground")(ground.ground)
app.command("encode")(encode.encode)
app.command("index")(index_verb.index)
app.command("search")(search_verb.search)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo_verb.demo)
app.command("study")(study.study)
app.command("scenes")(scenes.scenes)
app.add_typer(audit.app, name="audit")
app.add_typer(recipes.app, name="recipes")


@app.callback(invoke_without_command=True)
def options(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error; anywhere on the line."),
) -> None:
    """Align image and language towers on your own pairs, measure what was gained, and use it."""
    if version:
        from amodal import __version__

        print(f"amodal {__version__}")
        raise typer.Exit


def main() -> NoReturn:
    """Runs the command line and exits with its code."""
    words = [word for word in sys.argv[1:] if word != "--debug"]  # before a verb or after it
    debug = len(words) < len(sys.argv) - 1
    try:
        with _interruptible():
            app(words)
    except AmodalError as error:
        if debug:
            raise
        print(f"amodal: {error}", file=sys.stderr)
        _leave(_code(error))
    except Interrupted as stop:
        print("amodal: stopped", file=sys.stderr)
        _leave(128 + stop.signal_number)
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if debug:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"amodal: {place}{error.strerror or error}; check the disk and your permissions", file=sys.stderr)
        _leave(1)
    except Exception as error:
        if debug:
            raise
        print(f"amodal: unexpected {type(error).__name__}: {error}; --debug shows where", file=sys.stderr)
        _leave(1)
    sys.exit(0)


def _leave(code: int) -> NoReturn:
    """Exits. A process that an error took out of its ranks ends at once: taken apart in order, the threads that join it
    to the others would wait for them, or abort it with a code of their own."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM raise Interrupted, unless whoever started us had them ignored."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted(number)

    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    changed = [number for number, handler in usual.items() if signal.getsignal(number) == handler]
    for number in changed:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, usual[number])


def _code(error: AmodalError) -> int:
    stopped_by = getattr(error, "signal_number", None)
    if stopped_by is not None:
        return 128 + stopped_by
    return 2 if isinstance(error, UsageError) else 1
