"""amodal calibrate: where it writes, and what is wrong use. What it learns is tested with the recipes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import amodal
from amodal.core.errors import UsageError


def test_the_packaged_model_is_not_written_to(cli: Callable[..., Any]) -> None:
    answer = cli("calibrate")
    assert answer.code == 2
    assert "--out" in answer.err


def test_no_run_is_told(cli: Callable[..., Any], tmp_path: Path) -> None:
    answer = cli("calibrate", tmp_path / "none")
    assert answer.code == 1
    assert "there is no run" in answer.err


def test_a_split_that_is_not_there_is_told(cli: Callable[..., Any], tiny_run: Path) -> None:
    answer = cli("calibrate", tiny_run, "--split", "holdout")
    assert answer.code == 1
    assert "no split 'holdout'" in answer.err


def test_a_file_that_is_not_there_is_wrong_use(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="amodal calibrate --out"):
        amodal.load(tiny_run, calibration=tmp_path / "none.json")
