"""Rows, what was skipped, splits by pair, and fingerprints."""

import json
import shutil
from pathlib import Path

import pytest

from amodal.core.errors import DataError
from amodal.data.pictures import BytesRef, FileRef
from amodal.data.rows import Row, SkipLog, Table, caption_pair, finished_table


def row(number: int, pair: str | None = None, **attributes: str) -> Row:
    picture = BytesRef(bytes([number % 256]))
    return Row(key=f"t.csv:{number}", picture=picture, captions=("a",), pair=pair or str(number), attributes=attributes)


def test_a_row_needs_a_caption() -> None:
    with pytest.raises(ValueError, match=r"t\.csv:1 has no caption"):
        Row(key="t.csv:1", picture=BytesRef(b""), captions=(), pair="a")


def test_skip_log_counts_kinds_and_ignores_repeats() -> None:
    log = SkipLog()
    for _ in range(3):
        log.add("t.csv:2", "missing image file: a.jpg")
    log.add("t.csv:3", "missing image file: b.jpg")
    log.add("t.csv:4", "empty caption")
    assert len(log) == 3
    assert log.counts == {"missing image file": 2, "empty caption": 1}
    assert log.entries[1] == ("t.csv:3", "missing image file: b.jpg")
    said = json.loads(json.dumps(log.to_json()))
    assert said["skipped"] == 3
    assert said["entries"][2] == {"key": "t.csv:4", "reason": "empty caption"}


def test_limit_is_inclusive_and_the_message_names_rows_and_setting() -> None:
    log = SkipLog(0.05)
    log.check()
    for number in range(5):
        log.add(f"t.csv:{number}", "empty caption")
    log.total = 100
    log.check()
    log.total = 99
    with pytest.raises(DataError) as caught:
        log.check()
    assert "5 of 99" in str(caught.value)
    assert "t.csv:0: empty caption" in str(caught.value)
    assert "data.max_skipped" in str(caught.value)
    for number in range(5, 9):
        log.add(f"t.csv:{number}", "empty caption")
    with pytest.raises(DataError, match="and 4 more"):
        log.check()


def test_limit_zero_and_one() -> None:
    strict, lax = SkipLog(0), SkipLog(1)
    for log in (strict, lax):
        log.add("t.csv:1", "empty caption")
        log.total = 1000
    with pytest.raises(DataError):
        strict.check()
    lax.total = 1
    lax.check()
    with pytest.raises(DataError, match="from 0 to 1"):
        SkipLog(5)


def test_finished_table_refuses_emptiness() -> None:
    with pytest.raises(DataError, match=r"t\.csv holds no usable row"):
        finished_table("t.csv", [], SkipLog(), 0)


def test_rows_are_counted_in_the_whole_table_also_without_a_reader() -> None:
    table = Table("t", [row(number, split="train" if number else "test") for number in range(40)])
    table.split("test").skipped.add("t.csv:0", "broken picture")
    table.split("test").skipped.check()
    assert table.skipped.total == 40


def test_split_by_name_and_its_other_names() -> None:
    table = Table("t", [row(1, split="train"), row(2, split="validation"), row(3, split="test")])
    assert [row.key for row in table.split("val").rows] == ["t.csv:2"]
    assert [row.key for row in table.split("train").rows] == ["t.csv:1"]
    with pytest.raises(DataError, match="its splits are test, train, validation"):
        table.split("tset")
    with pytest.raises(DataError, match="no split column"):
        Table("t", [row(1)]).split("val")


def test_with_split_keeps_pairs_together_and_holds_the_shares() -> None:
    rows = [row(number, pair=str(number // 3)) for number in range(300)]
    table = Table("t", rows).with_split(7, {"train": 0.8, "val": 0.1, "test": 0.1})
    sides: dict[str, set[str]] = {}
    for each in table.rows:
        sides.setdefault(each.pair, set()).add(each.attributes["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert [len(table.split(name)) for name in ("train", "val", "test")] == [240, 30, 30]


def test_with_split_is_deterministic_by_seed_and_independent_of_order() -> None:
    rows = [row(number) for number in range(50)]
    shares = {"train": 0.5, "val": 0.5}

    def sides(rows: list[Row], seed: int) -> dict[str, str]:
        return {each.key: each.attributes["split"] for each in Table("t", rows).with_split(seed, shares).rows}

    assert sides(rows, 1) == sides(rows[::-1], 1)
    assert sides(rows, 1) != sides(rows, 2)


def test_with_split_of_a_labelled_table_has_every_class_on_both_sides() -> None:
    rows = [row(number, pair="cat" if number % 2 else "dog") for number in range(100)]
    table = Table("t", rows, classes=("cat", "dog")).with_split(0, {"train": 0.8, "val": 0.2})
    assert {each.pair for each in table.split("val").rows} == {"cat", "dog"}
    assert len(table.split("val")) == 20


def test_with_split_small_given_and_wrong() -> None:
    few = Table("t", [row(1), row(2), row(3)]).with_split(0, {"train": 0.98, "val": 0.01, "test": 0.01})
    assert [len(few.split(name)) for name in ("train", "val", "test")] == [1, 1, 1]
    given = Table("t", [row(1, split="train")])
    assert given.with_split(0, {"val": 1.0}) is given
    with pytest.raises(DataError, match="too few"):
        Table("t", [row(1)]).with_split(0, {"train": 0.5, "val": 0.5})
    with pytest.raises(DataError, match=r"t\.csv:2 has no split"):
        Table("t", [row(1, split="train"), row(2)]).with_split(0, {"train": 1.0})
    for shares in ({}, {"train": 0.5}, {"train": 1.5, "val": -0.5}):
        with pytest.raises(DataError, match="sum to 1"):
            Table("t", [row(1), row(2)]).with_split(0, shares)


def test_fingerprint_follows_content_not_place(tmp_path: Path) -> None:
    def table(folder: Path, caption: str = "a cat") -> Table:
        names = ("pics/a.jpg", "pics/more/b.jpg")
        return Table(
            str(folder),
            [Row(key=name, picture=FileRef(folder / name), captions=(caption,), pair="p") for name in names],
        )

    here, there = tmp_path / "here", tmp_path / "there"
    (here / "pics" / "more").mkdir(parents=True)
    (here / "pics" / "a.jpg").write_bytes(b"one")
    (here / "pics" / "more" / "b.jpg").write_bytes(b"two")
    shutil.copytree(here, there)
    first = table(here).fingerprint()
    assert len(first) == 64
    assert table(there).fingerprint() == first
    assert table(there, "a dog").fingerprint() != first
    (there / "pics" / "a.jpg").write_bytes(b"other")
    assert table(there).fingerprint() != first
    (there / "pics" / "a.jpg").unlink()
    assert table(there).fingerprint() != first


def test_fingerprint_of_bytes_and_attributes() -> None:
    base = Table("t", [row(1, split="train")]).fingerprint()
    assert Table("other name", [row(1, split="train")]).fingerprint() == base
    assert Table("t", [row(1, split="val")]).fingerprint() != base
    assert Table("t", [row(2, split="train")]).fingerprint() != base


def test_caption_pair_ignores_order_case_and_spacing() -> None:
    assert caption_pair(["A  cat", "a dog"]) == caption_pair(["a dog", "a cat"])
    assert caption_pair(["a cat"]) != caption_pair(["a cat", "a dog"])
