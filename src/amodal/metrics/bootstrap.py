"""A mean with the interval that its sample allows (percentile bootstrap, Efron 1979)."""

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
    if values.size == 0:
        raise ValueError("cannot average nothing: the evaluation has no items")
    if groups is None:
        sums, counts = values, np.ones_like(values)
    else:
        _, member_N = np.unique(groups, return_inverse=True)
        sums, counts = np.bincount(member_N, weights=values), np.bincount(member_N).astype(float)
    picks_RG = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    means_R = picks_RG @ sums / (picks_RG @ counts)
    low, high = np.quantile(means_R, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
