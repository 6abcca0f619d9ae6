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
