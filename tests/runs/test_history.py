"""metrics.csv: rows come back as they went in, late columns, a torn end, and going back on resume."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amodal.core.errors import RunError
from amodal.runs.history import COLUMNS, History


def filled(path: Path, steps: int = 5) -> History:
    history = History(path)
    for step in range(1, steps + 1):
        history.append({"step": step, "loss": 1 / step})
    return history


def test_rows_come_back_exactly(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.csv")
    assert history.read() == []
    rows = [{"step": 1, "loss": 0.1 + 0.2}, {"step": 2, "loss": 1e-300, "bound": 0.0}]
    for row in rows:
        history.append(row)
    assert history.read() == rows
    assert History(history.path).read() == rows
    assert history.path.read_text().splitlines()[0] == ",".join(COLUMNS)


def test_numpy_numbers_and_nan_are_kept(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.csv")
    row: Any = {"step": np.int64(3), "loss": np.float32(0.5), "bound": float("nan")}
    history.append(row)
    (row,) = history.read()
    assert (row["step"], row["loss"]) == (3, 0.5)
    assert math.isnan(row["bound"])


def test_a_later_column_rewrites_the_file(tmp_path: Path) -> None:
    history = filled(tmp_path / "metrics.csv", 2)
    history.append({"step": 2, "validation/image_to_text/R@1": 0.25})
    history.append({"step": 3, "loss": 0.1})
    assert history.path.read_text().splitlines()[0] == ",".join([*COLUMNS, "validation/image_to_text/R@1"])
    assert [row.get("validation/image_to_text/R@1") for row in history.read()] == [None, None, 0.25, None]


def test_a_failed_rewrite_keeps_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = filled(tmp_path / "metrics.csv")
    before = history.path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space"):
            history.append({"step": 6, "late": 1.0})
    assert history.path.read_bytes() == before
    history.append({"step": 6, "late": 1.0})
    assert len(history.read()) == 6


def test_resume_leaves_no_row_twice(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    filled(path, 5)
    resumed = History(path)
    resumed.truncate(3)
    for step in (4, 5, 6):
        resumed.append({"step": step, "loss": 1 / step})
    whole = filled(tmp_path / "whole.csv", 6)
    assert path.read_bytes() == whole.path.read_bytes()
    assert [row["step"] for row in resumed.read()] == [1, 2, 3, 4, 5, 6]


def test_truncate_to_nothing_and_of_nothing(tmp_path: Path) -> None:
    history = History(tmp_path / "metrics.csv")
    history.truncate(10)
    assert not history.path.exists()
    history = filled(history.path)
    history.truncate(0)
    assert history.read() == []
    history.append({"step": 1, "loss": 2.0})
    assert history.read() == [{"step": 1, "loss": 2.0}]


def test_a_row_is_recorded_in_place_of_those_from_its_step_on(tmp_path: Path) -> None:
    history = filled(tmp_path / "metrics.csv", 3)
    history.record({"step": 2, "loss": 9.0})
    assert [row["loss"] for row in history.read()] == [1.0, 9.0]


@pytest.mark.parametrize("go_on", ["append", "truncate"])
def test_a_torn_end_is_cut_off(tmp_path: Path, go_on: str) -> None:
    path = tmp_path / "metrics.csv"
    filled(path, 2)
    with path.open("a") as stream:
        stream.write("3,,0.3")
    assert len(History(path).read()) == 2
    history = History(path)
    if go_on == "truncate":
        history.truncate(2)
    history.append({"step": 3, "loss": 0.3})
    assert [row["step"] for row in history.read()] == [1, 2, 3]


def test_an_empty_file_gets_its_head(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.touch()
    assert filled(path, 1).read() == [{"step": 1, "loss": 1.0}]


@pytest.mark.parametrize("line", ["3,x,,,,,\n", "3,1\n", ",1,,,,,\n"])
def test_a_damaged_row_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.csv"
    filled(path, 2)
    with path.open("a") as stream:
        stream.write(line)
    with pytest.raises(RunError, match=r"metrics\.csv, line 4: .*mend or remove that line"):
        History(path).read()


def test_a_row_needs_its_step(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs `step`; got loss"):
        History(tmp_path / "metrics.csv").append({"loss": 1.0})
