"""The door: exit codes, tracebacks only when asked for, and the flags of every verb as a reviewed list."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import amodal
from amodal.cli.main import app
from amodal.core.errors import RunError

FLAGS = Path(__file__).with_name("flags.json")


def flags() -> dict[str, list[str]]:
    """Every verb -> its arguments and options, as typed."""

    def visit(command: Any, name: str) -> dict[str, list[str]]:
        parameters = [part for each in command.params for part in (each.opts if each.opts else [each.name])]
        found = {name: sorted(parameters)}
        for below, inner in getattr(command, "commands", {}).items():
            found |= visit(inner, f"{name} {below}")
        return found

    return visit(typer.main.get_command(app), "amodal")


def test_flags_are_those_that_were_reviewed() -> None:
    """A new flag is a decision: write it down in flags.json, too."""
    assert flags() == json.loads(FLAGS.read_text())


def test_help_names_every_verb(cli: Callable[..., Any]) -> None:
    answer = cli("--help")
    assert answer.code == 0
    assert all(verb in answer.out for verb in ("train", "evaluate", "classify", "encode", "recipes", "demo"))


@pytest.mark.parametrize("verb", [name.split()[1:] for name in json.loads(FLAGS.read_text()) if " " in name])
def test_every_verb_explains_itself_and_gives_an_example(cli: Callable[..., Any], verb: list[str]) -> None:
    answer = cli(*verb, "--help")
    assert answer.code == 0
    assert f"amodal {' '.join(verb)}" in answer.out.partition("Usage:")[2].partition("\n")[2]


def test_version(cli: Callable[..., Any]) -> None:
    assert cli("--version").out == f"amodal {amodal.__version__}\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--help",), 0),
        ((), 2),
        (("trian",), 2),
        (("train", "--epochs", "3"), 2),
        (("train", "no-such-recipe"), 2),
        (("classify", "a.png"), 2),
        (("evaluate", "no-such-run"), 1),
    ],
)
def test_exit_codes(cli: Callable[..., Any], words: tuple[str, ...], code: int) -> None:
    answer = cli(*words)
    assert answer.code == code
    assert "Traceback" not in answer.err


def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "amodal", *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_traceback_only_with_debug(cli: Callable[..., Any]) -> None:
    plain = call("evaluate", "no-such-run")
    assert plain.returncode == 1
    assert plain.stderr.startswith("amodal: there is no run at no-such-run")
    assert "Traceback" not in plain.stderr
    told = call("--debug", "evaluate", "no-such-run")
    assert told.returncode == 1
    assert "Traceback" in told.stderr
    assert "RunError" in told.stderr
    with pytest.raises(RunError):
        cli("evaluate", "no-such-run", "--debug")


def test_what_nobody_foresaw_has_no_traceback_either(
    cli: Callable[..., Any], tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no reason")

    monkeypatch.setattr("amodal.recipes.evaluate_run", fail)
    answer = cli("evaluate", tiny_run)
    assert answer.code == 1
    assert answer.err == "amodal: unexpected ZeroDivisionError: no reason; --debug shows where\n"
    with pytest.raises(ZeroDivisionError):
        cli("--debug", "evaluate", tiny_run)
