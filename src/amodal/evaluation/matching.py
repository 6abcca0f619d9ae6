"""Whether a model prefers the true caption of a scene to a false one that differs in one thing; chance is one half.

T trials
"""

from collections.abc import Sequence

import numpy as np

from amodal.metrics import Figure, bootstrap_mean, preferred


def matching(true_T: np.ndarray, false_T: np.ndarray, change_T: Sequence[str]) -> dict[str, Figure]:
    """`matching/CHANGE` for each change and `matching/mean` over the changes' trials: the share of trials in which the
    true caption scores higher; a tie is half a hit.

    true_T, false_T: scores of the two captions of each trial; change_T: what was changed. Intervals resample trials.
    """
    right_T, named_T = preferred(true_T, false_T), np.asarray(change_T)
    chosen = {change: right_T[named_T == change] for change in sorted(set(change_T))} | {"mean": right_T}
    return {f"matching/{name}": _share(right) for name, right in chosen.items()}


def _share(right: np.ndarray) -> Figure:
    value, low, high = bootstrap_mean(right)
    return Figure(value=value, low=low, high=high, chance=0.5, n=len(right))
