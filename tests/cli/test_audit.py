"""amodal audit limits: figures as a table and as JSON, a page, models side by side."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amodal.audit import LIMITS


def test_limits_of_a_run(cli: Callable[..., Any], tiny_run: Path, tmp_path: Path) -> None:
    answer = cli("audit", "limits", tiny_run, "--count", "4", "--out", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert all(limit.title in answer.out for limit in LIMITS)
    assert "share of trials in which the true sentence fits better" in answer.out
    assert "0.50" in answer.out
    assert f"report: {tmp_path}/out/limits.html" in answer.err
    assert "Which attribute is whose" in (tmp_path / "out" / "limits.html").read_text()


def test_json_is_one_object(cli: Callable[..., Any], tiny_run: Path, tmp_path: Path) -> None:
    words = ("--count", "2", "--json", "--split", "held-out-concepts", "--out", tmp_path / "out")
    answer = cli("audit", "limits", tiny_run, *words)
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["split"] == "held-out-concepts"
    [figures] = found["figures"].values()
    assert set(figures) == {limit.name for limit in LIMITS}
    for figure in figures.values():
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert figure["chance"] == 0.5


@pytest.mark.parametrize("words", [("nowhere",), ("--count", "0"), ("--split", "gone")])
def test_wrong_use_is_named(cli: Callable[..., Any], words: tuple[str, ...], tmp_path: Path) -> None:
    answer = cli("audit", "limits", *words, "--out", tmp_path / "out")
    assert answer.code == 2
    assert not answer.out
