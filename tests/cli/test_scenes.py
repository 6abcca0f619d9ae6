"""amodal scenes: files are written, what is wrong is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amodal.data.sources import open_table


def test_shards(cli: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    answer = cli("scenes", "--out", out, "--count", 4, "--seed", 9, "--split", "seen", "--language", "de")
    assert answer.code == 0, answer.err
    assert not answer.out
    assert "4 scenes" in answer.err
    assert "ATTRIBUTION.txt" in answer.err
    assert json.loads((out / "scenes.json").read_text())["seed"] == 9
    assert "Symbol" in open_table(out).rows[0].captions[0]


def test_coco_at_another_size(cli: Callable[..., Any], tmp_path: Path) -> None:
    assert cli("scenes", "--out", tmp_path / "scenes", "--count", 3, "--format", "coco", "--size", 64).code == 0
    annotations = json.loads((tmp_path / "scenes" / "annotations.json").read_text())
    assert [picture["width"] for picture in annotations["images"]] == [64, 64, 64]


def test_wrong_use(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    for words, told in (
        (("--out", tmp_path / "full"), "not an empty folder"),
        (("--out", tmp_path / "new", "--split", "test"), "no split 'test'"),
        (("--out", tmp_path / "new", "--count", 0), "at least 1"),
        (("--out", tmp_path / "new", "--format", "zip"), "webdataset or coco"),
    ):
        answer = cli("scenes", *words)
        assert answer.code == 2
        assert told in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
