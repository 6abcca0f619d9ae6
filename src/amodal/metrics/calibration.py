"""Whether a probability means what it says, and how well a score tells what is there from what is not.

N answers · T queries whose answer is there · A queries whose answer is not
"""

from collections.abc import Callable

import numpy as np

from amodal.metrics.bootstrap import Figure, bootstrap

BINS = 15
LOST = 0.05
"""The share of true queries that may be lost while absent ones are refused."""


def calibration_error(
    probability_N: np.ndarray, right_N: np.ndarray, *, bins: int = BINS, groups: np.ndarray | None = None
) -> Figure:
    """The expected calibration error over bins of equal mass (Naeini et al. 2015; Nguyen and O'Connor 2015).

    The mean, over bins, of how far the share that is right lies from the mean probability. groups: (N,) answers that
    belong together, resampled whole. Even a perfect forecast is above 0, since bins are finite, and the interval, of
    resamples that are coarser still, lies high. Raises ValueError for unequal lengths or none.
    """
    probability_N, right_N = np.asarray(probability_N, np.float64), np.asarray(right_N, np.float64)
    if len(probability_N) != len(right_N):
        raise ValueError(f"{len(probability_N)} probabilities for {len(right_N)} answers; give one each")
    order = np.argsort(probability_N, kind="stable")
    apart_N = (probability_N - right_N)[order]

    def error(times_N: np.ndarray) -> float:
        times = times_N[order]
        middle = np.cumsum(times) - times / 2  # of each answer's mass; the bin that it falls into
        place = np.minimum((bins * middle / times.sum()).astype(int), bins - 1)
        return float(np.abs(np.bincount(place, weights=times * apart_N, minlength=bins)).sum() / times.sum())

    value, low, high = bootstrap(error, len(apart_N), groups=groups)
    return Figure(value=value, low=low, high=high, chance=None, n=_independent(groups, len(apart_N)))


def refusal(
    there_T: np.ndarray, absent_A: np.ndarray, *, lost: float = LOST, groups: np.ndarray | None = None
) -> Figure:
    """The share of absent queries that score below the cut at which the share `lost` of the true ones does, too.

    The cut is the best that one cut can do: it is placed on these very queries. Chance is `lost`. groups: (T + A,), as
    in `calibration_error`. Raises ValueError when either kind is missing.
    """
    refused, size = _refused(there_T, absent_A, lost)
    value, low, high = bootstrap(refused, size, groups=groups)
    return Figure(value=value, low=low, high=high, chance=lost, n=_independent(groups, size))


def refusal_gain(
    one: tuple[np.ndarray, np.ndarray],
    other: tuple[np.ndarray, np.ndarray],
    *,
    lost: float = LOST,
    groups: np.ndarray | None = None,
) -> Figure:
    """How much more the first score refuses than the other: both of the same queries, resampled together.

    one, other: (there_T, absent_A), as `refusal` takes them. Chance is 0.
    """
    (first, size), (second, _) = _refused(*one, lost), _refused(*other, lost)
    value, low, high = bootstrap(lambda times: first(times) - second(times), size, groups=groups)
    return Figure(value=value, low=low, high=high, chance=0.0, n=_independent(groups, size))


def _refused(there_T: np.ndarray, absent_A: np.ndarray, lost: float) -> tuple[Callable[[np.ndarray], float], int]:
    """The statistic of how often each query counts, true ones first, and how many there are."""
    there_T, absent_A = np.asarray(there_T, np.float64), np.asarray(absent_A, np.float64)
    if len(there_T) == 0 or len(absent_A) == 0:
        raise ValueError(f"{len(there_T)} true and {len(absent_A)} absent queries; both kinds are needed")
    order = np.argsort(there_T, kind="stable")
    sorted_T = there_T[order]

    def refused(times: np.ndarray) -> float:
        upto_T = np.cumsum(times[: len(there_T)][order])
        first_kept = int(np.searchsorted(upto_T, lost * upto_T[-1], side="right"))
        below = absent_A < sorted_T[min(first_kept, len(sorted_T) - 1)]
        absent = times[len(there_T) :]
        return float(absent @ below / absent.sum()) if absent.sum() else 0.0

    return refused, len(there_T) + len(absent_A)


def _independent(groups: np.ndarray | None, size: int) -> int:
    return size if groups is None else len(np.unique(groups))
