"""Captions that were swapped are ranked before those that fit."""

from dataclasses import replace
from pathlib import Path

import pytest

import amodal
from amodal.audit import examine
from amodal.audit.suspects import suspicious_pairs
from amodal.data.rows import Row, Table, caption_pair
from amodal.data.sources import open_table
from amodal.inference import Model

SWAPPED = {0: "a blue triangle", 20: "a red circle", 40: "a green square"}


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Model:
    return amodal.load(tiny_run)


def swapped(row: Row, caption: str) -> Row:
    return replace(row, captions=(caption,), pair=caption_pair([caption]))


def test_swapped_captions_are_ranked_first(shapes: Path, model: Model) -> None:
    table = open_table(shapes).split("train")
    wrong = {n: text for n, text in SWAPPED.items() if n < len(table)}
    rows = [swapped(row, wrong[n]) if n in wrong else row for n, row in enumerate(table.rows)]
    finding = examine(replace(table, rows=rows), model=model).finding("suspicious-pairs")
    assert finding is not None
    first = {case.rows[0] for case in finding.cases[: len(wrong)]}
    assert len(first & set(wrong)) >= len(wrong) - 1  # by chance 1 in 12 would be
    assert len(finding.cases) < len(rows) / 3
    assert all(rows[case.rows[0]].captions[0] in case.note for case in finding.cases)
    assert str(model.name) in finding.said


def test_each_caption_of_a_picture_is_judged(shapes: Path, model: Model) -> None:
    table = open_table(shapes).split("train")
    first = table.rows[0]
    rows = [replace(first, captions=(first.captions[0], "a blue triangle")), *table.rows[1:]]
    finding = examine(replace(table, rows=rows), model=model).finding("suspicious-pairs")
    assert finding is not None
    assert next(case.note for case in finding.cases if case.rows == (0,)).endswith("a blue triangle")


def test_one_pair_alone_cannot_be_doubted(shapes: Path, model: Model) -> None:
    table = open_table(shapes)
    alone = Table("alone", table.rows[:3])  # all of one caption
    assert examine(alone, model=model).finding("suspicious-pairs") is None


def test_the_context_is_that_of_the_model(shapes: Path, model: Model) -> None:
    table = open_table(shapes)
    rows = [swapped(table.rows[0], "a red circle and " * 5 + "a blue square"), *table.rows[1:]]
    long = replace(table, rows=rows)
    finding = examine(long, model=model).finding("long-captions")
    assert finding is not None
    assert [case.rows for case in finding.cases] == [(0,)]
    assert "cut at 12 tokens" in finding.said
    assert examine(long).finding("long-captions") is None


@pytest.mark.filterwarnings("error")
def test_a_pair_that_fills_the_sample_has_nothing_to_be_compared_with(
    shapes: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One caption is sampled; rows of its own pair cannot be judged by it, the others can."""
    monkeypatch.setattr("amodal.audit.suspects.SAMPLE", 1)
    rows = [replace(row, captions=("a cat",), pair="cat") for row in open_table(shapes).rows[:3]]
    rows.append(swapped(rows[0], "a dog"))
    for finding in suspicious_pairs(rows, range(4), model):
        assert {case.rows[0] for case in finding.cases} <= {3}
