"""amodal classify: the form of its JSON, folders, and what is wrong use."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LABELS = ("a red circle", "a green square", "a blue triangle")


def test_json_form(cli: Callable[..., Any], tiny_run: Path, shapes: Path) -> None:
    picture = shapes.with_name("red-circle-0.png")
    answer = cli("classify", picture, "--labels", ",".join(LABELS), "--model", tiny_run, "--json")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert set(said) == {"results"}
    (result,) = said["results"]
    assert set(result) == {"path", "labels", "no_match"}
    assert result["no_match"] is None
    assert result["path"] == str(picture)
    assert all(set(score) == {"label", "share", "probability", "cosine"} for score in result["labels"])
    assert {score["label"] for score in result["labels"]} == set(LABELS)
    assert {score["probability"] for score in result["labels"]} == {None}
    shares = [score["share"] for score in result["labels"]]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert shares == sorted(shares, reverse=True)
    assert result["labels"][0]["label"] == "a red circle"  # this very picture was trained on


def test_a_line_a_picture_and_the_model_is_named(cli: Callable[..., Any], tiny_run: Path, shapes: Path) -> None:
    pictures = [shapes.with_name(name) for name in ("red-circle-0.png", "green-square-0.png")]
    answer = cli("classify", *pictures, "--labels", " , ".join(LABELS), "--model", tiny_run, "--top", 2)
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [str(picture) for picture in pictures]
    assert all(line.count("a ") == 2 and "%" not in line for line in lines)  # cosines: this run is not calibrated
    assert "not calibrated" in answer.err
    assert f"model: {tiny_run}" in answer.err


def test_a_folder_is_its_pictures_in_order(cli: Callable[..., Any], tiny_run: Path, shapes: Path) -> None:
    answer = cli("classify", shapes.parent, "--labels", ",".join(LABELS), "--model", tiny_run, "--json")
    paths = [result["path"] for result in json.loads(answer.out)["results"]]
    assert len(paths) == 48
    assert paths == sorted(paths)


def test_missing_file_is_wrong_use(cli: Callable[..., Any], tiny_run: Path, tmp_path: Path) -> None:
    answer = cli("classify", tmp_path / "none.jpg", "--labels", "a,b", "--model", tiny_run)
    assert answer.code == 2
    assert "there is no picture" in answer.err
    assert "none.jpg" in answer.err


def test_empty_folder_is_wrong_use(cli: Callable[..., Any], tiny_run: Path, tmp_path: Path) -> None:
    answer = cli("classify", tmp_path, "--labels", "a,b", "--model", tiny_run)
    assert answer.code == 2
    assert f"{tmp_path} holds no picture" in answer.err


@pytest.mark.parametrize("labels", ["cat,dog,cat", "cat,,dog", ""])
def test_labels_must_be_distinct_and_not_empty(
    cli: Callable[..., Any], tiny_run: Path, shapes: Path, labels: str
) -> None:
    answer = cli("classify", shapes.with_name("red-circle-0.png"), "--labels", labels, "--model", tiny_run)
    assert answer.code == 2
    assert "labels must be distinct and not empty" in answer.err


def test_missing_model_is_wrong_use(cli: Callable[..., Any], shapes: Path, tmp_path: Path) -> None:
    answer = cli("classify", shapes.with_name("red-circle-0.png"), "--labels", "a,b", "--model", tmp_path / "none")
    assert answer.code == 2
    assert "there is no model at" in answer.err


def test_broken_picture_is_named(cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(shapes.with_name("red-circle-0.png").read_bytes()[:90])
    answer = cli("classify", tmp_path, "--labels", "a,b", "--model", tiny_run, "--json")
    assert answer.code == 1
    assert str(broken) in answer.err
    assert not answer.out
