"""amodal doctor: what it prints and writes, and that findings are no failure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def spoiled(shapes: Path, tmp_path: Path) -> Path:
    """The shapes with a broken picture, one that is missing, and one that stands in train and test."""
    lines = shapes.read_text().splitlines()
    for line in lines[1:]:
        name = line.split(",")[0]
        (tmp_path / name).write_bytes(shapes.with_name(name).read_bytes())
    (tmp_path / "red-circle-1.png").write_bytes(b"no picture at all")
    (tmp_path / "copy.png").write_bytes(shapes.with_name("red-circle-0.png").read_bytes())
    lines += ["copy.png,a yellow circle,test", "gone.png,a lost thing,train"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return tmp_path / "pairs.csv"


def test_findings_are_printed_and_a_page_is_written(cli: Callable[..., Any], spoiled: Path, tmp_path: Path) -> None:
    answer = cli("doctor", spoiled, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("49 pictures with 49 captions: ")
    assert "splits: train 24, validation 12, test 13" in answer.out
    assert "PROBLEM  Duplicate pictures across splits: 1 picture in more than one split" in answer.out
    assert "pairs.csv:2, pairs.csv:50: the same bytes" in answer.out
    assert "PROBLEM  Broken or missing inputs: 2 inputs that cannot be used." in answer.out
    assert "pairs.csv:51: missing image file: gone.png" in answer.out
    assert f"report: {tmp_path}/out/doctor.html" in answer.err
    assert "Duplicate pictures across splits" in (tmp_path / "out" / "doctor.html").read_text()


def test_json_is_one_object(cli: Callable[..., Any], spoiled: Path, tmp_path: Path) -> None:
    answer = cli("doctor", spoiled, "--json", "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    cases = {each["kind"]: each["cases"] for each in found["findings"]}
    assert [case["keys"] for case in cases["leaked-pictures"]] == [["pairs.csv:2", "pairs.csv:50"]]
    assert {tuple(case["keys"]) for case in cases["broken"]} == {("pairs.csv:3",), ("pairs.csv:51",)}


def test_a_model_ranks_pairs(cli: Callable[..., Any], spoiled: Path, tiny_run: Path, tmp_path: Path) -> None:
    answer = cli("doctor", spoiled, "--json", "--model", tiny_run, "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    kinds = [each["kind"] for each in json.loads(answer.out)["findings"]]
    assert "suspicious-pairs" in kinds


@pytest.mark.parametrize(("words", "code"), [(("none.csv",), 1), (("bundled", "--model", "nowhere"), 2), ((), 2)])
def test_what_cannot_be_read_is_named(cli: Callable[..., Any], words: tuple[str, ...], code: int) -> None:
    answer = cli("doctor", *words)
    assert answer.code == code
    assert not answer.out
