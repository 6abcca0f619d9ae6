"""Several processes train one model: as one would; when one of them dies, the others say so, and it goes on."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from amodal.runs import History, RunFolder

SECONDS = 120
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo and signals are tested on Linux only")


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Path) -> Path:
    """The tiny recipe with a tower that has no batch statistics, so that rows do not depend on each other."""
    path = tiny_recipe.with_name("ranks.yaml")
    path.write_text(tiny_recipe.read_text().replace("test_resnet", "test_vit").replace("epochs: 30", "epochs: 4"))
    return path


@pytest.fixture(scope="module")
def alone(recipe: Path, cli: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """What one process gives."""
    folder = tmp_path_factory.mktemp("ranks") / "alone"
    answer = cli("train", recipe, "--out", folder)
    assert answer.code == 0, answer.err
    return RunFolder(folder)


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Exit code and standard error of each."""
    said = [process.communicate(timeout=SECONDS)[1] for process in processes]
    return [(process.returncode, words) for process, words in zip(processes, said, strict=True)]


def losses(run: RunFolder) -> list[float]:
    return [row["loss"] for row in History(run.history).read()]


def figures(run: RunFolder) -> dict[str, float]:
    return {name: figure["value"] for name, figure in json.loads(run.figures.read_text())["figures"].items()}


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        pytest.param(2, [], marks=pytest.mark.slow),  # as test_streamed.py does it of streamed pairs
        (2, ["training.shard=true"]),
        (2, ["training.gradients=cached", "training.micro_batch=2"]),
        pytest.param(2, ["training.shard=true", "training.micro_batch=4"], marks=pytest.mark.slow),
        pytest.param(4, ["training.shard=true"], marks=pytest.mark.slow),
        pytest.param(6, [], marks=pytest.mark.slow),
    ],
)
def test_ranks_train_as_one_process_would(
    start_ranks: Callable[..., list[subprocess.Popen[str]]],
    count: int,
    settings: list[str],
    recipe: Path,
    alone: RunFolder,
    tmp_path: Path,
) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    processes = start_ranks(count, "train", recipe, "--out", tmp_path / "run", *words)
    results = ended(processes)
    assert [code for code, _ in results] == [0] * count, results
    assert f"{count} processes" in results[0][1]
    assert results[1][1] == ""  # the first one speaks
    run = RunFolder(tmp_path / "run")
    assert losses(run) == pytest.approx(losses(alone), rel=1e-5)
    assert figures(run) == figures(alone)
    assert run.is_finished


def step_of(run: RunFolder) -> int:
    """The step of the last checkpoint."""
    with safe_open(run.last, "pt") as checkpoint:
        return json.loads(checkpoint.metadata()["state"])["step"]


def wait_for_checkpoint(run: RunFolder, processes: list[subprocess.Popen[str]]) -> None:
    end = time.monotonic() + SECONDS
    while not (run.last.exists() and run.history.exists() and len(run.history.read_text().splitlines()) > 3):
        assert all(process.poll() is None for process in processes), ended(processes)
        assert time.monotonic() < end, "nothing was saved"
        time.sleep(0.01)


@pytest.mark.parametrize(("killed", "count"), [(0, 1), pytest.param(1, 3, marks=pytest.mark.slow)])
def test_a_killed_rank_is_told_and_any_number_goes_on(
    start_ranks: Callable[..., list[subprocess.Popen[str]]],
    killed: int,
    count: int,
    recipe: Path,
    tmp_path: Path,
    cli: Callable[..., Any],
) -> None:
    run = RunFolder(tmp_path / "run")
    long = ("--set", "training.epochs=60", "--set", "training.save_every=0", "--set", "training.evaluate_every=30")
    processes = start_ranks(2, "train", recipe, "--out", run.path, *long)
    wait_for_checkpoint(run, processes)
    processes[killed].send_signal(signal.SIGKILL)
    left = processes[1 - killed]
    _, said = left.communicate(timeout=30)  # seconds, not the hours of a time limit
    assert left.returncode == 1
    assert "another process of this training is gone" in said
    assert "Traceback" not in said
    before = len(losses(run))
    assert step_of(run) >= 2 * before - 1  # two steps an epoch, saved after each: at most the last one is lost
    answer = cli("train", "--resume", run.path) if count == 1 else None
    results = [(answer.code, answer.err)] if answer else ended(start_ranks(count, "train", "--resume", run.path))
    assert {code for code, _ in results} == {0}, results
    assert [row["step"] for row in History(run.history).read()] == list(range(2, 122, 2))


POISON = """\
import dataclasses, os
from amodal.cli import main
from amodal.data.batches import PairBatches
whole = PairBatches.__getitem__
def poisoned(self, step):
    batch = whole(self, step)
    if step == 3 and os.environ["RANK"] == "1":
        batch.pixels[2, 0, 0, 0] = float("nan")
        batch = dataclasses.replace(batch, key=(*batch.key[:2], "broken.csv:7", *batch.key[3:]))
    return batch
PairBatches.__getitem__ = poisoned
main()
"""


def test_each_rank_names_its_own_broken_rows(
    start_ranks: Callable[..., list[subprocess.Popen[str]]], recipe: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    run = RunFolder(tmp_path / "run")
    words = ("train", recipe, "--out", run.path, "--set", "training.save_every=0")
    results = ended(start_ranks(2, *words, program=("-c", POISON)))
    assert [code for code, _ in results] == [1, 1], results
    assert "no row of this process stands out: see what another one names" in results[0][1]
    assert "where the inputs of 1 of 6 rows are not: broken.csv:7; mend or remove these rows" in results[1][1]
    assert step_of(run) == 3
    answer = cli("train", "--resume", run.path)
    assert answer.code == 0, answer.err
    assert [row["step"] for row in History(run.history).read()] == [2, 4, 6, 8]


def test_a_signal_to_one_stops_all_at_the_same_step(
    start_ranks: Callable[..., list[subprocess.Popen[str]]], recipe: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    long = ("--set", "training.epochs=2000", "--set", "training.save_every=0", "--set", "training.evaluate_every=2000")
    processes = start_ranks(2, "train", recipe, "--out", run.path, *long)
    wait_for_checkpoint(run, processes)
    processes[1].send_signal(signal.SIGTERM)
    results = ended(processes)
    assert [code for code, _ in results] == [143, 143], results
    assert f"to go on: amodal train --resume {run.path}" in results[0][1]
