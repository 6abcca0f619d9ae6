"""amodal train: a whole run folder, one JSON object, settings, and what --resume refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from amodal.runs import History, RunFolder

QUICK = ("--set", "training.epochs=2", "--set", "training.evaluate_every=1")


@pytest.fixture(scope="module")
def trained(cli: Callable[..., Any], tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("train") / "quick"
    return folder, cli("train", tiny_recipe, "--out", folder, "--json", *QUICK)


def test_run_folder_is_complete(trained: tuple[Path, Any]) -> None:
    folder = RunFolder(trained[0])
    names = [name for name, value in vars(RunFolder).items() if isinstance(value, property)]
    paths = {name: path for name in names if isinstance(path := getattr(folder, name), Path)}
    assert len(paths) == 15
    missing = {name for name, path in paths.items() if not path.exists()}
    assert missing == {"checkpoints", "last", "calibration"}  # too few concepts to calibrate on
    assert {path.name for path in folder.plots.iterdir()} >= {"loss.png", "recall.png", "similarity.png", "map.png"}
    assert folder.is_finished
    assert not list(folder.path.rglob("*.part"))


def test_json_is_one_object_and_the_only_output(trained: tuple[Path, Any]) -> None:
    folder, answer = trained
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert said == json.loads((folder / "metrics.json").read_text())
    assert said["run"] == str(folder)
    assert set(said["figures"]["image_to_text/R@1"]) == {"value", "low", "high", "chance", "n", "candidates"}
    assert {"text_to_image/R@5", "image_to_text/R@10"} <= set(said["figures"])
    assert f"report: {folder}/report.html" in answer.err


def test_set_goes_over_the_recipe(trained: tuple[Path, Any]) -> None:
    folder = RunFolder(trained[0])
    training = yaml.safe_load(folder.recipe.read_text())["training"]
    assert (training["epochs"], training["evaluate_every"], training["batch_size"]) == (2, 1, 12)
    assert [row["epoch"] for row in History(folder.history).read()] == [1, 2]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("training.epoch=3", "did you mean epochs?"),
        ("training.epochs", "not of the form key=value"),
        ("training.epochs=soon", "training.epochs: "),
        ("training.learning_rate=-1", "training.learning_rate: "),
    ],
)
def test_bad_setting_is_wrong_use(cli: Callable[..., Any], tiny_recipe: Path, tmp_path: Path, setting, said) -> None:
    answer = cli("train", tiny_recipe, "--out", tmp_path / "run", "--set", setting)
    assert answer.code == 2
    assert said in answer.err
    assert not (tmp_path / "run").exists()


def test_unknown_recipe_is_wrong_use(cli: Callable[..., Any]) -> None:
    answer = cli("train", "transfr")
    assert answer.code == 2
    assert "did you mean transfer?" in answer.err


def test_data_that_is_not_there_leaves_no_folder(cli: Callable[..., Any], tiny_recipe: Path, tmp_path: Path) -> None:
    answer = cli("train", tiny_recipe, "--data", tmp_path / "none.csv", "--out", tmp_path / "run")
    assert answer.code == 1
    assert "none.csv does not exist" in answer.err
    assert not (tmp_path / "run").exists()


def test_a_run_refused_before_it_trains_leaves_no_folder(
    cli: Callable[..., Any], tiny_recipe: Path, tmp_path: Path
) -> None:
    """The tower has a batch norm, which is known when it is built, after the folder was begun."""
    refused = cli("train", tiny_recipe, "--out", tmp_path / "run", "--set", "training.gradients=cached")
    assert refused.code == 2
    assert "normalises by the statistics of its batch" in refused.err
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_neither_resumed_nor_overwritten(
    cli: Callable[..., Any], tiny_recipe: Path, tiny_run: Path
) -> None:
    before = (tiny_run / "metrics.json").stat().st_mtime_ns
    again = cli("train", "--resume", tiny_run)
    assert again.code == 1
    assert f"has finished; there is nothing to resume. To judge it again: amodal evaluate {tiny_run}" in again.err
    over = cli("train", tiny_recipe, "--out", tiny_run)
    assert over.code == 1
    assert "already holds a finished run" in over.err
    assert (tiny_run / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("extra", [("--data", "pairs.csv"), ("--set", "training.epochs=3"), ("--out", "other")])
def test_resume_takes_nothing_that_changes_the_run(cli: Callable[..., Any], tiny_run: Path, extra) -> None:
    answer = cli("train", "--resume", tiny_run, *extra)
    assert answer.code == 2
    assert "leave out --data, --set and --out" in answer.err


def test_resume_of_nothing(cli: Callable[..., Any], tmp_path: Path) -> None:
    answer = cli("train", "--resume", tmp_path / "none")
    assert answer.code == 1
    assert "there is no run at" in answer.err


def test_a_stopped_run_refuses_another_recipe(
    cli: Callable[..., Any], tiny_recipe: Path, tiny_run: Path, tmp_path: Path
) -> None:
    run = RunFolder(shutil.copytree(tiny_run, tmp_path / "run"))
    run.figures.unlink()
    run.checkpoints.mkdir()
    run.last.touch()
    answer = cli("train", tiny_recipe, "--out", run.path, *QUICK)
    assert answer.code == 1
    assert f"a stopped run of another recipe; go on with it: amodal train --resume {run.path}" in answer.err
