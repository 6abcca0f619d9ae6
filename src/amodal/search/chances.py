"""A softmax regression on a few numbers, solved by Newton's method (multinomial logit, Cox 1958; Theil 1969).

N cases · F numbers of a case · K outcomes, the first the one whose chance is asked for
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

RIDGE = 1e-3
_STEPS = 50
_NEAR = 1e-9


@dataclass(frozen=True)
class Chances:
    """How likely the first outcome is, given F numbers. centre, scale: (F,); weights: (1 + F, K), the bias first."""

    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]

    def __call__(self, value_NF: np.ndarray) -> np.ndarray:
        """The chance of the first outcome. A number that is NaN counts as an ordinary one. (..., F) -> (...)"""
        return _softmax(_standard(value_NF, self.centre, self.scale) @ np.array(self.weights))[..., 0]

    def to_json(self) -> dict[str, Any]:
        """Every number as a list."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Chances":
        """What `to_json` gave. Raises KeyError or TypeError for anything else."""
        weights = tuple(tuple(map(float, row)) for row in value["weights"])
        return cls(tuple(map(float, value["centre"])), tuple(map(float, value["scale"])), weights)


def fit_chances(value_NF: np.ndarray, outcome_N: np.ndarray, num_outcomes: int) -> Chances:
    """The regression that makes the outcomes (N,) likeliest, weights held by a small ridge.

    An outcome that is never seen gets a chance near 0.
    """
    value_NF = np.asarray(value_NF, np.float64)
    centre, scale = np.nanmean(value_NF, axis=0), np.nanstd(value_NF, axis=0) + 1e-12
    x_NF = _standard(value_NF, centre, scale)
    seen_NK = np.eye(num_outcomes)[outcome_N]
    weights_FK = np.zeros((x_NF.shape[1], num_outcomes))
    ridge_F = np.r_[1e-6, np.full(x_NF.shape[1] - 1, RIDGE)]  # next to none for the bias
    for _ in range(_STEPS):
        step_FK = _newton(x_NF, seen_NK, weights_FK, ridge_F)
        weights_FK -= step_FK
        if np.abs(step_FK).max() < _NEAR:
            break
    return Chances(tuple(centre.tolist()), tuple(scale.tolist()), tuple(map(tuple, weights_FK.tolist())))


def _newton(x_NF: np.ndarray, seen_NK: np.ndarray, weights_FK: np.ndarray, ridge_F: np.ndarray) -> np.ndarray:
    chance_NK = _softmax(x_NF @ weights_FK)
    slope_FK = x_NF.T @ (chance_NK - seen_NK) / len(x_NF) + ridge_F[:, None] * weights_FK
    F, K = weights_FK.shape
    bend = np.zeros((K, F, K, F))
    for a in range(K):
        for b in range(K):
            weight_N = chance_NK[:, a] * ((a == b) - chance_NK[:, b])
            bend[a, :, b, :] = (x_NF * weight_N[:, None]).T @ x_NF / len(x_NF)
    bend = bend.reshape(K * F, K * F) + np.diag(np.tile(ridge_F, K))
    return np.linalg.solve(bend, slope_FK.T.ravel()).reshape(K, F).T


def _standard(value: np.ndarray, centre: Any, scale: Any) -> np.ndarray:
    """Standardised, what is unknown at its mean, behind a column of ones."""
    standard = np.nan_to_num((np.asarray(value, np.float64) - centre) / scale, nan=0.0)
    return np.concatenate([np.ones((*standard.shape[:-1], 1)), standard], axis=-1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    share = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return share / share.sum(axis=-1, keepdims=True)
