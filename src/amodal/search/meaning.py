"""What the cosines of one query mean, by the calibration of its model.

K answers of the query · B its best ones
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from amodal.search.calibration import Calibration, Spread

_STEPS = 40


class Meaning:
    """The calibration at work on one query.

    best_B: its highest cosines over the whole library, best first, so that no filter changes what a score means; first:
    the highest that is asked about, None where nothing is; spread: of its cosines.
    """

    def __init__(self, calibration: Calibration, best_B: np.ndarray, first: float | None, spread: Spread) -> None:
        self.calibration, self.best_B, self.first, self.spread = calibration, best_B, first, spread

    @cached_property
    def no_match(self) -> bool:
        """Whether nothing fits that is asked about."""
        if self.first is None:
            return True
        return bool(self._each(self.calibration.presence, np.array([self.first]))[0] < self.calibration.cut)

    def probability(self, score_K: np.ndarray) -> np.ndarray:
        """The chance that each answer is right; one of the best is no "other" of itself. (K,) -> (K,)"""
        return self._each(self.calibration.probability, score_K)

    def weak(self, score_K: np.ndarray, chance_K: np.ndarray) -> np.ndarray:
        """Whether each answer is below the line of a good match: all are where nothing fits, else those whose chance is
        below the least that counts as a match, but never the best one. Both (K,) -> (K,) bool"""
        if self.no_match:
            return np.ones(len(score_K), bool)
        return (chance_K < self.calibration.cut) & ~np.isclose(score_K, self.first or 0.0, atol=1e-6)

    def passes(self, score_K: np.ndarray, probability: float) -> np.ndarray:
        """Whether each answer is at least so likely right. (K,) -> (K,) bool"""
        return self.probability(score_K) >= probability

    def cosine(self, probability: float) -> float:
        """The lowest cosine of any answer that is at least so likely right, 1.0 or more where none is."""
        low, high = -1.0, 1.0 + 1e-6
        for _ in range(_STEPS):  # behind the best ones the chance rises with the cosine
            middle = (low + high) / 2
            low, high = (low, middle) if self._behind(middle) >= probability else (middle, high)
        passing_B = self.passes(self.best_B, probability)
        return float(min([high, *self.best_B[passing_B]]))

    def _each(self, judge: Callable[[np.ndarray, Spread], np.ndarray], score_K: np.ndarray) -> np.ndarray:
        """What a calibration says of each answer: one of the best in its own place, any other behind them. -> (K,)"""
        own_K = self._place(score_K)
        behind_K = own_K < 0
        said_X = judge(np.r_[self.best_B, score_K[behind_K]][None], self.spread)[0]
        own_K[behind_K] = len(self.best_B) + np.arange(behind_K.sum())
        return said_X[own_K]

    def _behind(self, score: float) -> float:
        """The chance of an answer that is none of the best."""
        return float(self.calibration.probability(np.r_[self.best_B, score][None], self.spread)[0, -1])

    def _place(self, score_K: np.ndarray) -> np.ndarray:
        """The place of each among the best, -1 for none."""
        if not len(self.best_B):
            return np.full(len(score_K), -1)
        same_KB = np.isclose(score_K[:, None], self.best_B[None], atol=1e-6)
        return np.where(same_KB.any(axis=1), same_KB.argmax(axis=1), -1)
