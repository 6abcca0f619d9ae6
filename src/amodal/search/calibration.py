"""From the scores of a query to probabilities: that an answer is right, and that there is one at all.

Given scores only; knows no model. Each score is judged beside the other scores of its query, as Surprise does (Bahri
et al. 2020): a cosine says little by itself, since each query, each model and each size of a library has its own.

Q queries · N vectors of a library (pictures of an index, or labels) · K best answers of a query
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from amodal.search.chances import Chances

BEST = 10
"""So many of a query's best scores are looked at; hand over at least as many, or all that there are."""


class Spread(NamedTuple):
    """How the scores of each query lie over a whole library: mean and standard deviation, both (Q,), and N.

    Of a large library some of its vectors, drawn anyhow, tell the first two: `of_scores(...)._replace(count=N)`.
    """

    mean_Q: np.ndarray
    deviation_Q: np.ndarray
    count: int

    @classmethod
    def of_scores(cls, score_QN: np.ndarray) -> "Spread":
        """Where every score is at hand."""
        score_QN = np.asarray(score_QN, np.float64)
        return cls(score_QN.mean(axis=1), score_QN.std(axis=1), score_QN.shape[1])


_MEAN = 3
"""Where `evidence` holds the mean over the library."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was learnt of one model and one kind of query (words to pictures, or picture to labels).

    fits: the chance that an answer is right; present: that some answer of the library is; cut: the chance of `present`
    below which there is no good match, so placed that `lost` of the true queries it was learnt from fell below;
    concepts: how many different things it was learnt from.
    """

    fits: Chances
    present: Chances
    cut: float
    lost: float
    concepts: int

    def probability(self, score_QK: np.ndarray, spread: Spread) -> np.ndarray:
        """The chance that each answer is right. -> (Q, K)

        score_QK: of each query its best scores, best first (at least `BEST`, or as many as the library holds).
        """
        return self.fits(self._evidence(score_QK, spread))

    def presence(self, score_QK: np.ndarray, spread: Spread) -> np.ndarray:
        """The chance that anything fits, were each answer the best of those asked about. Arguments as in
        `probability`. -> (Q, K)"""
        return self.present(self._evidence(score_QK, spread))

    def no_match(self, score_QK: np.ndarray, spread: Spread) -> np.ndarray:
        """Whether to say that nothing fits; of an empty library always. Arguments as in `probability`. -> (Q,) bool"""
        if score_QK.shape[1] == 0:
            return np.ones(len(score_QK), bool)
        return self.presence(score_QK[:, :BEST], spread)[:, 0] < self.cut

    def _evidence(self, score_QK: np.ndarray, spread: Spread) -> np.ndarray:
        """Of a library of a single thing as if an ordinary one stood beside it: alone, a score can be judged by
        nothing."""
        if spread.count != 1 or score_QK.shape[1] != 1:
            return evidence(score_QK, spread)
        ordinary = self.fits.centre[_MEAN]
        both_Q2 = -np.sort(-np.c_[score_QK, np.full(len(score_QK), ordinary)])
        known_Q2F = evidence(both_Q2, Spread.of_scores(both_Q2))
        return np.where((score_QK >= ordinary)[..., None], known_Q2F[:, :1], known_Q2F[:, 1:])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        told = {"cut": self.cut, "lost": self.lost, "concepts": self.concepts}
        return {**told, "fits": self.fits.to_json(), "present": self.present.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Calibration":
        """What `to_json` gave. Raises KeyError or TypeError for anything else."""
        return cls(
            fits=Chances.from_json(value["fits"]),
            present=Chances.from_json(value["present"]),
            cut=float(value["cut"]),
            lost=float(value["lost"]),
            concepts=int(value["concepts"]),
        )


def evidence(score_QK: np.ndarray, spread: Spread) -> np.ndarray:
    """What is known of each answer: its score, the best other, the mean of the nine best others, the mean and the
    deviation over the library, the logarithm of its size. What there is not (another answer, say) is NaN. -> (Q, K, 6)
    """
    score_QK = np.asarray(score_QK, np.float64)
    num_queries, kept = score_QK.shape
    top_QB = score_QK[:, :BEST]
    best, total_Q = top_QB.shape[1], top_QB.sum(axis=1)
    other_QK = np.full((num_queries, kept), np.nan)
    mean_QK = np.full((num_queries, kept), np.nan)
    if best > 1:
        other_QK[:] = top_QB[:, :1]
        other_QK[:, 0] = top_QB[:, 1]
        left_out_QK = np.repeat(top_QB[:, -1:], kept, axis=1)  # an answer behind the best ten sees nine of them
        left_out_QK[:, :best] = top_QB
        mean_QK = (total_Q[:, None] - left_out_QK) / (best - 1)
    known = spread.count > 1
    rest = (
        spread.mean_Q if known else np.full(num_queries, np.nan),
        spread.deviation_Q if known else np.full(num_queries, np.nan),
        np.full(num_queries, np.log(max(spread.count, 1))),
    )
    rest_QK = [np.repeat(np.asarray(each)[:, None], kept, axis=1) for each in rest]
    return np.stack([score_QK, other_QK, mean_QK, *rest_QK], axis=-1)
