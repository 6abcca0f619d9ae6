"""The rule on values made by hand, and the table's pairing."""

from typing import Any

import numpy as np
import pytest

from amodal.studies.study import Check, Interval, mean_interval, rows_of, verdict_of
from amodal.studies.wording import interval, number, wanted


@pytest.mark.parametrize(
    ("low", "high", "limits", "verdict"),
    [
        (0.1, 0.3, {"above": 0.0}, "holds"),
        (-0.1, 0.3, {"above": 0.0}, "undecided"),
        (-0.3, -0.1, {"above": 0.0}, "does not hold"),
        (0.0, 0.3, {"above": 0.0}, "undecided"),
        (0.01, 0.04, {"below": 0.05}, "holds"),
        (0.04, 0.06, {"below": 0.05}, "undecided"),
        (0.06, 0.09, {"below": 0.05}, "does not hold"),
        (-0.01, 0.01, {"above": -0.02, "below": 0.02}, "holds"),
        (-0.03, 0.01, {"above": -0.02, "below": 0.02}, "undecided"),
        (-0.09, 0.09, {"above": -0.02, "below": 0.02}, "undecided"),
        (0.03, 0.04, {"above": -0.02, "below": 0.02}, "does not hold"),
        (-0.04, -0.03, {"above": -0.02, "below": 0.02}, "does not hold"),
        (float("nan"), float("nan"), {"below": 1.0}, "undecided"),
    ],
)
def test_one_check(low: float, high: float, limits: dict[str, Any], verdict: str) -> None:
    assert Check(says="x", found=Interval((low + high) / 2, low, high), **limits).verdict == verdict


def check(low: float, high: float) -> Check:
    return Check(says="x", found=Interval((low + high) / 2, low, high), above=0.0)


def test_a_claim_holds_when_every_check_does() -> None:
    good, bad, open_ = check(1, 2), check(-2, -1), check(-1, 1)
    assert verdict_of([good, good], 5) == "holds"
    assert verdict_of([good, open_], 5) == "undecided"
    assert verdict_of([good, bad, open_], 5) == "does not hold"
    assert verdict_of([], 5) == "undecided"


def test_fewer_than_five_seeds_conclude_nothing() -> None:
    assert verdict_of([check(1, 2)], 4) == "undecided"
    assert verdict_of([check(-2, -1)], 4) == "undecided"


def test_rows_are_compared_in_pairs_with_the_reference() -> None:
    random = np.random.default_rng(0)
    base = random.normal(size=(5, 40))
    measured = {"a": {"recall": base}, "b": {"recall": base + 0.1}}
    first, second = rows_of(measured, "recall", "%", "a")
    assert first.difference is None
    assert second.difference is not None
    np.testing.assert_allclose(second.difference, [0.1, 0.1, 0.1])  # what both share cancels
    assert second.mean == pytest.approx(base.mean() + 0.1)
    np.testing.assert_allclose(second.values, base.mean(axis=1) + 0.1)
    value, low, high = mean_interval(base + 0.1)
    assert low < value < high
    assert [row.difference for row in rows_of(measured, "recall", "%", None)] == [None, None]


def test_numbers_are_said_with_sign_and_unit() -> None:
    assert number(0.1234, "%") == "12.3\u00a0%"
    assert number(-0.0123, "points", signed=True) == "\u22121.2\u00a0points"
    assert number(1.23456, "nats") == "1.235\u00a0nats"
    assert number(0.00123, "") == "0.00123"
    assert interval(Interval(0.01, -0.002, 0.02), "points", signed=True) == "+1.0\u00a0points (\u22120.2 to +2.0)"
    assert wanted(Check(says="x", found=Interval(0, 0, 0), above=-0.01, unit="points")) == "above \u22121.0\u00a0points"
    assert wanted(Check(says="x", found=Interval(0, 0, 0), above=-1, below=2)) == "between \u22121 and 2"
