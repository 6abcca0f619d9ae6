"""Intervals: they cover the truth as often as they claim, groups widen them, the values are numpy's."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from amodal.metrics import Figure, bootstrap_crossed, bootstrap_mean, crossed_mean
from amodal.metrics.bootstrap import _student, bootstrap, bootstrap_median

Interval = Callable[..., tuple[float, float, float]]


def covered(interval: Interval, truth: float, draw: Callable[[np.random.Generator], np.ndarray], **more: object) -> int:
    """In how many of 200 simulated samples the interval holds the truth."""
    inside = 0
    for seed in range(200):
        _, low, high = interval(draw(np.random.default_rng(seed)), seed=seed, resamples=300, **more)
        inside += low <= truth <= high
    return inside


@pytest.mark.parametrize("interval", [bootstrap_mean, bootstrap_median])
def test_interval_covers_the_truth(interval: Interval) -> None:
    inside = covered(interval, 3.0, lambda random: random.normal(3.0, 2.0, size=60))
    assert 180 <= inside <= 198  # 95 % claimed; an interval that always holds would claim too little


def test_interval_of_shares_covers_the_truth() -> None:
    assert covered(bootstrap_mean, 0.3, lambda random: random.random(80) < 0.3) >= 180


def test_interval_of_groups_covers_where_the_plain_one_does_not() -> None:
    groups = np.repeat(np.arange(40), 8)

    def draw(random: np.random.Generator) -> np.ndarray:
        return np.repeat(random.normal(size=40), 8) + random.normal(scale=0.3, size=320)

    assert covered(bootstrap_mean, 0.0, draw, groups=groups) >= 180
    assert covered(bootstrap_mean, 0.0, draw) < 150


@pytest.mark.parametrize("interval", [bootstrap_mean, bootstrap_median])
def test_groups_widen(interval: Interval) -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=50), 10)
    _, low, high = interval(values)
    value, group_low, group_high = interval(values, groups=np.repeat(np.arange(50), 10))
    assert group_low <= value <= group_high
    assert group_high - group_low > 2 * (high - low)


def test_groups_of_different_size_keep_the_plain_mean() -> None:
    values, groups = np.array([1.0, 1, 1, 5]), np.array(["a", "a", "a", "b"])
    value, low, high = bootstrap_mean(values, groups=groups)
    assert value == 2
    assert (low, high) == (1, 5)


@pytest.mark.parametrize("values", [[4.0], [1, 2], [5, 1, 3], [2, 2, 9, 1], [1, 1, 2, 2, 3, 3]])
def test_values_are_those_of_numpy(values: list[float]) -> None:
    assert bootstrap_median(np.array(values))[0] == np.median(values)
    assert bootstrap_mean(np.array(values))[0] == pytest.approx(np.mean(values))


def test_constant_values_have_no_width() -> None:
    assert bootstrap_mean(np.full(7, 2.0)) == pytest.approx((2, 2, 2))
    assert bootstrap_median(np.full(7, 2)) == (2, 2, 2)


def test_seed_decides() -> None:
    values = np.random.default_rng(0).normal(size=30)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_any_statistic() -> None:
    values = np.array([1.0, 4, 9])
    value, low, high = bootstrap(lambda times_N: float(values[times_N > 0].max()), 3)
    assert value == high == 9
    assert low < 9


@pytest.mark.parametrize("interval", [bootstrap_mean, bootstrap_median])
def test_nothing_is_refused(interval: Interval) -> None:
    with pytest.raises(ValueError, match="no items"):
        interval(np.array([]))


def test_figure_as_json() -> None:
    figure = Figure(value=0.5, low=0.4, high=0.6, chance=None, n=10)
    assert figure.to_json() == {"value": 0.5, "low": 0.4, "high": 0.6, "chance": None, "n": 10, "candidates": None}


def crossed(random: np.random.Generator, *, seeds: float, items: float, noise: float) -> np.ndarray:
    """Values (5, 60) of mean 0: an effect of the seed, one of the item, and what is neither's."""
    effects = random.normal(scale=seeds, size=(5, 1)) + random.normal(scale=items, size=(1, 60))
    return effects + random.normal(scale=noise, size=(5, 60))


def interval_of_mean(values_SN: np.ndarray, **more: Any) -> tuple[float, float, float]:
    return bootstrap_crossed(partial(crossed_mean, values_SN), *values_SN.shape, **more)


@pytest.mark.parametrize(
    "effects", [{"seeds": 1.0, "items": 0.1}, {"seeds": 0.1, "items": 1.0}, {"seeds": 0.2, "items": 1.0}]
)
def test_interval_over_few_seeds_and_many_items_covers_the_truth(effects: dict[str, float]) -> None:
    inside = covered(interval_of_mean, 0.0, lambda random: crossed(random, noise=0.5, **effects))
    assert inside >= 183  # 95 % of 200 are 190 and the deviation of that count is 3


def test_plain_bootstrap_of_five_seeds_would_cover_too_seldom() -> None:
    assert covered(bootstrap_mean, 0.0, lambda random: random.normal(size=5)) < 175
    assert (
        covered(lambda x, **more: interval_of_mean(x[:, None], **more), 0.0, lambda random: random.normal(size=5)) > 180
    )


def test_pairing_takes_off_what_both_share() -> None:
    random = np.random.default_rng(0)
    shared = crossed(random, seeds=1.0, items=2.0, noise=0.0)
    one, other = (shared + random.normal(mean, 0.1, size=shared.shape) for mean in (0.0, 0.2))
    value, low, high = interval_of_mean(other - one)
    assert 0.15 < low < value < high < 0.25
    _, low, high = interval_of_mean(other)
    assert high - low > 1


def test_crossed_value_is_the_plain_one() -> None:
    values_SN = np.arange(12.0).reshape(3, 4) ** 2
    value, low, high = interval_of_mean(values_SN)
    assert value == pytest.approx(values_SN.mean())
    assert low < value < high
    assert crossed_mean(values_SN, np.array([2.0, 0, 1]), np.array([0.0, 3, 1, 0])) == pytest.approx(
        (2 * (3 * 1 + 4) + (3 * 81 + 100)) / 12
    )


def test_one_seed_tells_of_items_alone_and_nothing_is_refused() -> None:
    value, low, high = interval_of_mean(np.array([[0.0, 1, 0, 1]]))
    assert low <= value == 0.5 <= high
    with pytest.raises(ValueError, match="nothing"):
        interval_of_mean(np.empty((0, 3)))


@pytest.mark.parametrize(("freedom", "quantile"), [(4, 2.7764), (9, 2.2622), (29, 2.0452)])
def test_student_quantile(freedom: int, quantile: float) -> None:
    assert _student(freedom) == pytest.approx(quantile, rel=5e-3)
