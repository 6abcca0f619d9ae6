"""Training that is stopped or killed goes on, and ends with the same weights, bit for bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amodal.runs import History, RunFolder

SECONDS = 120
KILLS = 20
SAVES = ("--set", "training.save_every=0")
"""A checkpoint after every step, so that a kill often falls into one."""


def start(*words: object) -> subprocess.Popen[str]:
    """`amodal ...` in a process of its own."""
    command = [sys.executable, "-m", "amodal", *map(str, words)]
    return subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, f"ended too early: {process.communicate()[1]}"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


def epochs_of(run: RunFolder) -> int:
    return len(run.history.read_text().splitlines()) - 1 if run.history.exists() else 0


def same_result(run: RunFolder, reference: RunFolder) -> bool:
    """Whether both ended with the same weights, figures and history."""

    def history(folder: RunFolder) -> list[dict[str, float]]:
        return [{**row, "seconds": 0.0} for row in History(folder.history).read()]

    def figures(folder: RunFolder) -> object:
        return json.loads(folder.figures.read_text())["figures"]

    return (
        run.weights.read_bytes() == reference.weights.read_bytes()
        and figures(run) == figures(reference)
        and history(run) == history(reference)
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends a process no SIGTERM that it could answer")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_step_and_the_run_goes_on(
    cli: Callable[..., Any], tiny_recipe: Path, tiny_run: Path, tmp_path: Path, number: int, code: int
) -> None:
    run = RunFolder(tmp_path / "run")
    process = start("train", tiny_recipe, "--out", run.path)
    wait_for(lambda: epochs_of(run) >= 3, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert f"to go on: amodal train --resume {run.path}\n" in said
    assert "the state is saved" in said
    assert run.last.exists()
    assert not run.is_finished
    assert epochs_of(run) < 30
    answer = cli("train", "--resume", run.path)
    assert answer.code == 0, answer.err
    assert same_result(run, RunFolder(tiny_run))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends a process no SIGTERM that it could answer")
def test_a_signal_before_the_first_step(
    cli: Callable[..., Any], tiny_recipe: Path, tiny_run: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    process = start("train", tiny_recipe, "--out", run.path)
    wait_for(run.recipe.exists, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 143, said
    assert f"to go on: amodal train --resume {run.path}\n" in said
    assert cli("train", "--resume", run.path).code == 0
    assert same_result(run, RunFolder(tiny_run))


def test_early_stop_is_the_same_after_a_stop(
    cli: Callable[..., Any], tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right after the checkpoint at which patience ran out, the run does not train on."""
    patient = (*SAVES, "--set", "training.patience=1", "--set", "training.evaluate_every=1")
    whole = RunFolder(tmp_path / "whole")
    assert cli("train", tiny_recipe, "--out", whole.path, *patient).code == 0
    ended = epochs_of(whole)
    assert ended < 30

    class Killed(BaseException):
        """Ends the process at once, as far as training can tell."""

    from amodal.training import loop

    plain, run = loop.save_checkpoint, RunFolder(tmp_path / "run")

    def save_and_die(*state: Any, write: bool) -> None:
        plain(*state, write=write)
        if state[-1].step == 2 * ended:
            raise Killed

    monkeypatch.setattr(loop, "save_checkpoint", save_and_die)
    with pytest.raises(Killed):
        cli("train", tiny_recipe, "--out", run.path, *patient)
    monkeypatch.undo()
    assert cli("train", "--resume", run.path).code == 0
    assert same_result(run, whole)


@pytest.mark.slow
def test_kill_at_any_moment(tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """kill -9 at 20 random moments spread over the whole run, start-up and report included; then resume until done."""
    reference = RunFolder(tmp_path / "reference")
    began = time.monotonic()
    assert start("train", tiny_recipe, "--out", reference.path, *SAVES).wait(timeout=SECONDS) == 0
    length = time.monotonic() - began
    moments = random.Random(0)
    equal, killed = 0, 0
    for number in range(KILLS):
        run = RunFolder(tmp_path / f"run-{number}")
        share = (number + moments.random()) / KILLS
        began = time.monotonic()
        process = start("train", tiny_recipe, "--out", run.path, *SAVES)
        try:
            process.wait(timeout=share * length)
            length = time.monotonic() - began  # the machine is faster now than it was
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.communicate(timeout=SECONDS)
        stood = epochs_of(run)
        if not run.is_finished:
            words = ("--resume", run.path) if run.recipe.exists() else (tiny_recipe, "--out", run.path, *SAVES)
            process = start("train", *words)
            _, said = process.communicate(timeout=SECONDS)
            assert process.returncode == 0, f"killed after {share:.0%}, {stood} epochs: {said}"
        equal += same_result(run, reference)
        assert not list(run.path.rglob("*.part"))
        with capsys.disabled():
            print(
                f"\nkilled after {share:.0%} of {length:.1f} s, at epoch {stood}: {equal} of {number + 1} equal", end=""
            )
    assert equal == KILLS
    assert killed >= KILLS - 5, "too many runs were through before they were killed"
