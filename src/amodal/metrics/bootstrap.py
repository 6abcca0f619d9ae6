"""A mean or median with the interval that its sample allows (percentile bootstrap, Efron 1979).

N items
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One reported number: its value, the bounds of its 95 % interval, what chance would give, and from how much.

    n: items averaged (independent ones: pictures of one group count once); candidates: how many it was chosen from.
    """

    value: float
    low: float
    high: float
    chance: float | None
    n: int
    candidates: int | None = None

    def to_json(self) -> dict[str, float | int | None]:
        """A plain dictionary with every field."""
        return asdict(self)


def bootstrap_mean(
    values: np.ndarray, *, groups: np.ndarray | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """The mean of `values` (N,) and its 95 % percentile interval. -> (mean, low, high)

    groups: (N,) labels of values that belong together (pictures of one concept): whole groups are then resampled,
    since their members are not independent.
    """
    values = np.asarray(values, dtype=np.float64)
    return bootstrap(
        lambda times_N: float(times_N @ values / times_N.sum()),
        len(values),
        groups=groups,
        seed=seed,
        resamples=resamples,
    )


def bootstrap_median(
    values: np.ndarray, *, groups: np.ndarray | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """The median of `values` (N,) and its 95 % percentile interval. -> (median, low, high)

    groups: as in `bootstrap_mean`. Between two middle values lies their mean, as in `numpy.median`.
    """
    order = np.argsort(values, kind="stable")
    sorted_N = np.asarray(values, dtype=np.float64)[order]

    def median(times_N: np.ndarray) -> float:
        upto_N = np.cumsum(times_N[order])
        half = upto_N[-1] / 2
        return float(sorted_N[np.searchsorted(upto_N, half)] + sorted_N[np.searchsorted(upto_N, half, "right")]) / 2

    return bootstrap(median, len(sorted_N), groups=groups, seed=seed, resamples=resamples)


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    size: int,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float, float]:
    """Any statistic of `size` items and its 95 % percentile interval. -> (value, low, high)

    statistic: given how often each item counts (size,), its value; groups: as in `bootstrap_mean`. Raises ValueError
    when there are no items.
    """
    if size == 0:
        raise ValueError("cannot average nothing: the evaluation has no items")
    member_N = np.arange(size) if groups is None else np.unique(groups, return_inverse=True)[1]
    random, count = np.random.default_rng(seed), int(member_N.max()) + 1
    drawn = []
    for _ in range(resamples):  # one resample at a time: memory grows with the items, not with items x resamples
        times = np.bincount(random.integers(count, size=count), minlength=count).astype(np.float64)
        drawn.append(statistic(times[member_N]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return statistic(np.ones(size)), float(low), float(high)


def bootstrap_crossed(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    num_seeds: int,
    num_items: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[float, float, float]:
    """A statistic of what S seeds gave for the same N items, and its 95 % interval. -> (value, low, high)

    statistic: given how much each seed (S,) and each item (N,) counts, its value. Seeds and items are drawn apart, each
    with replacement (Owen 2007), so that the interval tells what other seeds and other items would have given; the
    counts of seeds are stretched about one, so that with few of them it is as wide as Student's t asks (Hesterberg
    2015). Two settings are compared in pairs by a statistic of both: what seeds and items share then cancels.
    """
    if num_seeds == 0 or num_items == 0:
        raise ValueError("cannot average nothing: there are no seeds or no items")
    random = np.random.default_rng(seed)
    stretch = _student(num_seeds - 1) / _NORMAL * np.sqrt(num_seeds / (num_seeds - 1)) if num_seeds > 1 else 1.0
    drawn = []
    for _ in range(resamples):
        seeds, items = (
            np.bincount(random.integers(count, size=count), minlength=count).astype(np.float64)
            for count in (num_seeds, num_items)
        )
        drawn.append(statistic(1 + stretch * (seeds - 1), items))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return statistic(np.ones(num_seeds), np.ones(num_items)), float(low), float(high)


def crossed_mean(values_SN: np.ndarray, times_S: np.ndarray, times_N: np.ndarray) -> float:
    """The mean of values (S, N) where seed and item count so much; for `bootstrap_crossed`."""
    return float(times_S @ values_SN @ times_N / (times_S.sum() * times_N.sum()))


_NORMAL = 1.959964  # the 97.5 % quantile of the normal distribution


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t by its expansion (Fisher & Cornish 1960): 0.3 % too small for 4, 3 % for 2."""
    z = _NORMAL
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))
