"""A run calibrated on pairs that it never saw: what it writes, which rows it takes, what it refuses."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import amodal
from amodal.core.errors import DataError, RunError
from amodal.data.sources import open_table
from amodal.features import FeatureCache
from amodal.recipes import calibrate_run, encoded_pairs, load_run, read_calibration
from amodal.recipes.calibrate import FEWEST, KINDS
from amodal.runs import RunFolder, read_card

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 24 squares, each of a colour of its own that its caption names, two pictures each."""
    folder = tmp_path_factory.mktemp("squares")
    rows = []
    for number in range(24):
        colour = (number * 10, 255 - number * 10, (number * 77) % 256)
        for twin in range(2):
            name = f"{number}-{twin}.png"
            Image.new("RGB", (24, 24), colour).save(folder / name)
            rows.append((name, f"a square of tone {number}"))
    table = folder / "captions.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([("image", "caption"), *rows])
    return table


@pytest.fixture(scope="module")
def calibrated(squares: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run, calibrated on the squares."""
    run = tmp_path_factory.mktemp("calibrated") / "tiny"
    shutil.copytree(tiny_run, run)
    calibrate_run(run, data=str(squares), device=CPU, cache=FeatureCache())
    return run


def test_the_folder_and_the_card_tell_it(calibrated: Path, squares: Path) -> None:
    folder = RunFolder(calibrated)
    told = json.loads(folder.calibration.read_text())
    assert told["learnt_from"] == f"{squares}, 48 pictures"
    assert set(told["kinds"]) == set(KINDS)
    assert {kind.concepts for kind in read_calibration(folder.calibration).values()} == {24}
    assert "24 concepts" in read_card(folder).calibration["words"]
    assert "## Calibration" in folder.card_text.read_text()


def test_a_loaded_run_gives_probabilities(calibrated: Path, shapes: Path, tiny_run: Path) -> None:
    picture = shapes.with_name("red-circle-0.png")
    (found,) = amodal.load(calibrated).label([picture], ["a red circle", "a blue ring"])
    assert all(0 <= (score["probability"] or -1) <= 1 for score in found.labels)
    assert found.no_match in (True, False)
    (plain,) = amodal.load(tiny_run).label([picture], ["a red circle", "a blue ring"])
    assert plain.no_match is None
    assert [score["cosine"] for score in plain.labels] == [score["cosine"] for score in found.labels]
    other = amodal.load(tiny_run, calibration=RunFolder(calibrated).calibration)
    assert other.label([picture], ["a red circle", "a blue ring"]) == [found]


def test_the_same_again_is_the_same(calibrated: Path, squares: Path, tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.json"
    calibrate_run(tiny_run, data=str(squares), out=out, device=CPU, cache=FeatureCache())
    assert json.loads(out.read_text()) == json.loads(RunFolder(calibrated).calibration.read_text())
    assert not RunFolder(tiny_run).calibration.exists()


def test_a_run_of_few_concepts_says_that_it_is_not_calibrated(cli: Callable[..., Any], tiny_run: Path) -> None:
    assert not RunFolder(tiny_run).calibration.exists()  # 12 concepts
    answer = cli("calibrate", tiny_run)
    assert answer.code == 1
    assert f"12 concepts are too few to calibrate with; give at least {FEWEST}" in answer.err


def test_shared_captions_belong_to_no_concept(squares: Path, tiny_run: Path) -> None:
    table = open_table(squares)
    encoder = load_run(tiny_run, device=CPU, cache=FeatureCache()).encoder
    alike = [replace(row, captions=("a square", *row.captions), attributes={}) for row in table.rows]
    pairs = encoded_pairs(encoder, replace(table, rows=alike), None, "plain")
    assert "a square" not in pairs.captions
    assert len(pairs.captions) == 24
    same = [replace(row, captions=("a square",), pair=row.key, attributes={}) for row in table.rows]
    with pytest.raises(DataError, match="share their captions"):
        encoded_pairs(encoder, replace(table, rows=same), None, "plain")


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    assert read_calibration(path) == {}
    path.write_text('{"kinds": {"words": {"cut": 1}}}')
    with pytest.raises(RunError, match="damaged"):
        read_calibration(path)
