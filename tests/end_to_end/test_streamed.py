"""A run whose pairs are read from shards while it trains: the same by any ranks and workers; resumed; judged."""

import csv
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amodal.runs import History, RunFolder

SECONDS = 600
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo and signals are tested on Linux only")


@pytest.fixture(scope="module")
def recipe(shapes: Path, tiny_recipe: Path) -> Path:
    """The tiny recipe over five shards of its training pictures, judged by the table they come from."""
    folder = shapes.with_name("streamed")
    folder.mkdir()
    with shapes.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "train"]
    for shard in range(5):
        with tarfile.open(folder / f"{shard}.tar", "w") as archive:
            for row in rows[shard::5]:
                archive.add(shapes.with_name(row["image"]), row["image"])
                said = shapes.with_name("said.txt")
                said.write_text(row["caption"])
                archive.add(said, Path(row["image"]).stem + ".txt")
    path = tiny_recipe.with_name("streamed.yaml")
    text = tiny_recipe.read_text().replace("test_resnet", "test_vit").replace("epochs: 30", "epochs: 4")
    path.write_text(text.replace(f"source: {shapes}", f"source: {folder}, stream: true, mixed: 2, judged: {shapes}"))
    return path


@pytest.fixture(scope="module")
def alone(recipe: Path, cli: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """What one process gives."""
    folder = tmp_path_factory.mktemp("streamed") / "alone"
    answer = cli("train", recipe, "--out", folder)
    assert answer.code == 0, answer.err
    assert "24 train, 12 validation, 12 test pictures" in answer.err
    return RunFolder(folder)


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str]]:
    """Exit code and standard error of each."""
    said = [process.communicate(timeout=SECONDS)[1] for process in processes]
    return [(process.returncode, words) for process, words in zip(processes, said, strict=True)]


def losses(run: RunFolder) -> list[float]:
    return [row["loss"] for row in History(run.history).read()]


@pytest.mark.parametrize(("count", "workers"), [(2, 0), (1, 2), pytest.param(3, 2, marks=pytest.mark.slow)])
def test_ranks_and_workers_train_as_one_process_would(
    start_ranks: Callable[..., list[subprocess.Popen[str]]],
    count: int,
    workers: int,
    recipe: Path,
    alone: RunFolder,
    cli: Callable[..., Any],
    tmp_path: Path,
) -> None:
    run = RunFolder(tmp_path / "run")
    words = ("train", recipe, "--out", run.path, "--set", f"training.workers={workers}")
    if count == 1:
        answer = cli(*words)
        results = [(answer.code, answer.err)]
    else:
        results = ended(start_ranks(count, *words))
    assert [code for code, _ in results] == [0] * count, results
    assert losses(run) == pytest.approx(losses(alone), rel=1e-5)
    figures = [json.loads(each.figures.read_text())["figures"] for each in (run, alone)]
    assert figures[0] == figures[1]


def test_a_killed_run_goes_on_with_another_number_of_ranks(
    start_ranks: Callable[..., list[subprocess.Popen[str]]], recipe: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    long = ("--set", "training.epochs=30", "--set", "training.save_every=0", "--set", "training.evaluate_every=15")
    whole, run = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "run")
    assert cli("train", recipe, "--out", whole.path, *long).code == 0
    processes = start_ranks(2, "train", recipe, "--out", run.path, *long)
    end = time.monotonic() + SECONDS
    while not (run.last.exists() and run.history.exists() and len(run.history.read_text().splitlines()) > 3):
        assert all(process.poll() is None for process in processes), ended(processes)
        assert time.monotonic() < end, "nothing was saved"
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    assert "another process of this training is gone" in processes[0].communicate(timeout=60)[1]
    answer = cli("train", "--resume", run.path)
    assert answer.code == 0, answer.err
    assert losses(run) == pytest.approx(losses(whole), rel=1e-4)


def test_a_run_is_judged_again_on_what_it_was_judged_on(alone: RunFolder, cli: Callable[..., Any]) -> None:
    answer = cli("evaluate", alone.path, "--json")
    assert answer.code == 0, answer.err
    figures = json.loads(alone.figures.read_text())["figures"]
    assert json.loads(answer.out)["figures"] == figures
    card = json.loads(alone.card.read_text())
    assert card["splits"] == {"train": 24, "validation": 12, "test": 12}


def test_two_shards_are_held_out_where_nothing_else_judges(
    recipe: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "run")
    answer = cli("train", recipe, "--out", run.path, "--set", "data.judged=''", "--set", "training.epochs=1")
    assert answer.code == 0, answer.err
    splits = json.loads(run.card.read_text())["splits"]
    assert sum(splits.values()) == 24
    assert {splits["validation"], splits["test"]} <= {4, 5}
    assert cli("evaluate", run.path).code == 0
    few = cli(
        "train",
        recipe,
        "--out",
        tmp_path / "few",
        "--set",
        f"data.source={recipe.parent}/streamed/0.tar",
        "--set",
        "data.judged=''",
    )
    assert few.code == 1
    assert "name the pairs that judge with --set data.judged=PATH" in few.err


def test_broken_pictures_of_all_ranks_are_in_the_report(
    start_ranks: Callable[..., list[subprocess.Popen[str]]], recipe: Path, tmp_path: Path, cli: Callable[..., Any]
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for shard in sorted((recipe.parent / "streamed").iterdir()):
        content = bytearray(shard.read_bytes())
        with tarfile.open(shard) as archive:
            first = archive.getmembers()[0]
        content[first.offset_data : first.offset_data + first.size] = bytes(first.size)
        (broken / shard.name).write_bytes(content)
    run = RunFolder(tmp_path / "run")
    words = ("train", recipe, "--out", run.path, "--set", f"data.source={broken}")
    results = ended(start_ranks(2, *words, "--set", "data.max_skipped=0.3"))
    assert [code for code, _ in results] == [0, 0], results
    skipped = json.loads(run.skipped.read_text())
    assert sorted(entry["key"].split(":")[0] for entry in skipped["entries"]) == [f"{n}.tar" for n in range(5)]
    assert len(losses(run)) == 4
    strict = cli("train", recipe, "--out", tmp_path / "strict", "--set", f"data.source={broken}")
    assert strict.code == 1
    assert "of 24 rows cannot be used" in strict.err


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="the ranks are found by their environment")
def test_torchrun_starts_again_what_one_rank_stopped(recipe: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    long = ("--set", "training.epochs=60", "--set", "training.save_every=0", "--set", "training.evaluate_every=30")
    launch = ("--standalone", "--nproc-per-node", "2", "--max-restarts", "1", "-m", "amodal", "train", recipe)
    words = ("-m", "torch.distributed.run", *launch, "--out", run.path, *long)
    whole = subprocess.Popen([sys.executable, *map(str, words)], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + SECONDS
    while not (run.last.exists() and run.history.exists() and len(run.history.read_text().splitlines()) > 3):
        assert whole.poll() is None, whole.communicate()
        assert time.monotonic() < end, "nothing was saved"
        time.sleep(0.01)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told, said = (process / "environ").read_bytes(), (process / "cmdline").read_bytes()
        except OSError:  # of another user, or gone
            continue
        if b"\0RANK=1\0" in told and str(run.path).encode() in said:
            os.kill(int(process.name), signal.SIGKILL)
    _, said = whole.communicate(timeout=SECONDS)
    assert whole.returncode == 0, said
    assert "another process of this training is gone" in said
    assert [row["step"] for row in History(run.history).read()] == list(range(2, 122, 2))
