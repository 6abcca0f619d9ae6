"""amodal evaluate: the run's own test split, another source, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def class_folders(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test pictures of the shapes, one folder a class."""
    root = tmp_path_factory.mktemp("classes")
    for picture in shapes.parent.glob("*-3.png"):
        colour, shape, _ = picture.stem.split("-")
        folder = root / f"a_{colour}_{shape}"
        folder.mkdir()
        shutil.copy(picture, folder)
    return root


def test_own_test_split_gives_the_figures_of_the_run(cli: Callable[..., Any], tiny_run: Path) -> None:
    answer = cli("evaluate", tiny_run, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out) == json.loads((tiny_run / "metrics.json").read_text())


def test_a_table_stands_on_the_terminal(cli: Callable[..., Any], tiny_run: Path) -> None:
    answer = cli("evaluate", tiny_run)
    assert answer.code == 0, answer.err
    assert "image → text, R@1" in answer.out
    assert "chance" in answer.out


def test_another_split(cli: Callable[..., Any], tiny_run: Path) -> None:
    answer = cli("evaluate", tiny_run, "--split", "train", "--json")
    figure = json.loads(answer.out)["figures"]["image_to_text/R@1"]
    assert (figure["n"], figure["candidates"]) == (12, 12)  # n counts captions: each has two pictures here


def test_class_folders_are_classified_zero_shot(cli: Callable[..., Any], tiny_run: Path, class_folders: Path) -> None:
    answer = cli("evaluate", tiny_run, "--data", class_folders, "--json")
    assert answer.code == 0, answer.err
    figures = json.loads(answer.out)["figures"]
    top = figures["zero_shot/top-1"]
    assert (top["n"], top["candidates"]) == (12, 12)
    assert top["chance"] == pytest.approx(1 / 12)
    assert top["low"] > top["chance"]  # these captions were trained on, these pictures were not
    assert figures["image_to_text/R@1"]["value"] == pytest.approx(top["value"])


def test_fewer_candidates_are_easier(cli: Callable[..., Any], tiny_run: Path, class_folders: Path) -> None:
    answer = cli("evaluate", tiny_run, "--data", class_folders, "--candidates", 3, "--json")
    figure = json.loads(answer.out)["figures"]["image_to_text/R@1"]
    assert figure["candidates"] == 3
    assert figure["chance"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--templates", "drawing"), "drawings"),
        (("--split", "holdout"), "has no split 'holdout'"),
        (("--data", "none.csv"), "none.csv does not exist"),
    ],
)
def test_what_does_not_exist_is_named(cli: Callable[..., Any], tiny_run: Path, words, said) -> None:
    answer = cli("evaluate", tiny_run, *words)
    assert answer.code in (1, 2)
    assert said in answer.err
    assert not answer.out


def test_no_run(cli: Callable[..., Any], tmp_path: Path) -> None:
    answer = cli("evaluate", tmp_path)
    assert answer.code == 1
    assert "is not a run folder" in answer.err


def test_from_another_folder_than_it_was_trained_in(
    cli: Callable[..., Any], tiny_recipe: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shapes.parent)
    answer = cli("train", tiny_recipe, "--data", shapes.name, "--out", tmp_path / "run", "--set", "training.epochs=1")
    assert answer.code == 0, answer.err
    monkeypatch.chdir(tmp_path)
    answer = cli("evaluate", "run", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["figures"] == json.loads((tmp_path / "run" / "metrics.json").read_text())["figures"]
