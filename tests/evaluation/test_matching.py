"""Matching by hand: shares by change, and a tie is half a hit."""

import numpy as np
import pytest

from amodal.evaluation import matching


def test_by_hand() -> None:
    true, false = np.array([1.0, 0.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0, 1.0])
    found = matching(true, false, ["count", "count", "relation", "relation"])
    values = {name: figure.value for name, figure in found.items()}
    assert values == {"matching/count": 0.5, "matching/relation": 0.75, "matching/mean": pytest.approx(0.625)}
    assert {figure.chance for figure in found.values()} == {0.5}
    assert found["matching/mean"].n == 4


def test_noise_is_at_chance() -> None:
    draw = np.random.default_rng(0)
    figure = matching(draw.normal(size=2000), draw.normal(size=2000), ["count"] * 2000)["matching/mean"]
    assert figure.low < 0.5 < figure.high
