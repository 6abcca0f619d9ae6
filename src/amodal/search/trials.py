"""Queries with and without an answer, drawn from pairs, and the calibration that is learnt from them.

Q queries · N vectors of a library · K best answers · D width · T trials
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from amodal.search.calibration import BEST, Calibration, Spread, evidence
from amodal.search.chances import fit_chances

DRAWS = 120
LOST = 0.05
_PRESENT_A_DRAW = 40


class Kind(IntEnum):
    """Whether a query's concept is in the library, was left out of it, or is no concept of its data at all."""

    PRESENT = 0
    LEFT_OUT = 1
    NONSENSE = 2
    FOREIGN = 3


@dataclass(frozen=True)
class Side:
    """Unit vectors (N, D) of queries or of what they look for, and the concept (N,) of each, counted from 0."""

    vector_ND: np.ndarray
    concept_N: np.ndarray

    def of(self, concepts: np.ndarray) -> np.ndarray:
        """The rows of these concepts."""
        return np.flatnonzero(np.isin(self.concept_N, concepts))


@dataclass(frozen=True)
class Strange:
    """Vectors that belong to no concept, (S, D) each. replace: the queries by them, or else the library (labels)."""

    nonsense_SD: np.ndarray
    foreign_SD: np.ndarray
    replace_queries: bool


@dataclass(frozen=True)
class Trials:
    """What queries found: their best scores (T, BEST) padded with NaN, the spread, which answers are right (T, BEST),
    kind and concept; strange queries have concepts of their own, below 0."""

    score_TK: np.ndarray
    right_TK: np.ndarray
    spread: tuple[np.ndarray, np.ndarray]
    count_T: np.ndarray
    kind_T: np.ndarray
    concept_T: np.ndarray

    def evidence(self) -> np.ndarray:
        """See `calibration.evidence`; trials over libraries of one size together. -> (T, BEST, 6)"""
        found = np.full((*self.score_TK.shape, 6), np.nan)
        for count in np.unique(self.count_T):
            rows, kept = np.flatnonzero(self.count_T == count), min(int(count), BEST)
            spread = Spread(self.spread[0][rows], self.spread[1][rows], int(count))
            found[rows, :kept] = evidence(self.score_TK[rows, :kept], spread)
        return found


def draw_trials(
    queries: Side, library: Side, more_ND: np.ndarray, strange: Strange, *, seed: int, draws: int = DRAWS
) -> Trials:
    """Trials over libraries of many sizes, present and absent 1:1.

    For each draw half of the concepts, at random, may be in the library: some of them are (their number is drawn so
    that its logarithm is uniform), in every second draw with some of `more_ND` (pictures or labels that no query means)
    beside them. Up to 40 queries of these concepts are present; of as many absent ones, half are of concepts from the
    other half (`LEFT_OUT`), a quarter are nonsense and a quarter are foreign.
    """
    random, concepts = np.random.default_rng(seed), np.unique(library.concept_N)
    parts, own = [], 0
    for draw in range(draws):
        mixed = random.permutation(concepts)
        half = len(mixed) // 2
        here = mixed[: _log_uniform(random, half)]
        rows = library.of(here)
        beside = (
            _some(random, more_ND, _log_uniform(random, len(more_ND))) if draw % 2 and len(more_ND) else more_ND[:0]
        )
        vectors = np.concatenate([library.vector_ND[rows], beside])
        marks = np.r_[library.concept_N[rows], np.full(len(beside), -1)]
        present = random.permutation(queries.of(here))[:_PRESENT_A_DRAW]
        left_out = random.permutation(queries.of(mixed[half:]))[: max(1, len(present) // 2)]
        for kind, chosen in ((Kind.PRESENT, present), (Kind.LEFT_OUT, left_out)):
            parts.append(_asked(queries.vector_ND[chosen], queries.concept_N[chosen], vectors, marks, kind))
        for kind, strangers in ((Kind.NONSENSE, strange.nonsense_SD), (Kind.FOREIGN, strange.foreign_SD)):
            many = max(1, len(present) // 4)
            asked = _some(random, strangers, many)
            sought, their = vectors, marks
            if not strange.replace_queries:
                asked = queries.vector_ND[random.permutation(queries.of(mixed))[:many]]
                sought = _some(random, strangers, len(vectors))
                their = np.full(len(sought), -1)
            names = -1 - own - np.arange(len(asked))
            own += len(asked)
            parts.append(_asked(asked, names, sought, np.where(their < 0, 1 << 60, their), kind))
    return _joined(parts)


def learn(trials: Trials, *, lost: float = LOST) -> Calibration:
    """The calibration that these trials teach.

    Three outcomes are told apart, since they look different: right; wrong, of an ordinary query; wrong, of one that is
    strange. Answers on every rank up to `BEST` count; whether there is an answer at all is learnt from the best one.
    """
    known_TKF = trials.evidence()
    strange_T = trials.kind_T >= Kind.NONSENSE
    there = ~np.isnan(trials.score_TK)
    outcome_TK = np.where(trials.right_TK, 0, np.where(strange_T[:, None], 2, 1))
    fits = fit_chances(known_TKF[there], outcome_TK[there], 3)
    first_TF = known_TKF[:, 0]
    present = fit_chances(first_TF, np.where(trials.kind_T == Kind.PRESENT, 0, np.where(strange_T, 2, 1)), 3)
    cut = float(np.quantile(present(first_TF)[trials.kind_T == Kind.PRESENT], lost))
    concepts = len(np.unique(trials.concept_T[trials.concept_T >= 0]))
    return Calibration(fits=fits, present=present, cut=cut, lost=lost, concepts=concepts)


def _log_uniform(random: np.random.Generator, most: int) -> int:
    """From 1 to `most`, its logarithm uniform."""
    return min(most, int(np.exp(random.uniform(0.0, np.log(most + 1))))) if most else 0


def _some(random: np.random.Generator, rows: np.ndarray, many: int) -> np.ndarray:
    return rows[random.permutation(len(rows))[:many]]


def _asked(query_QD: np.ndarray, name_Q: np.ndarray, vector_ND: np.ndarray, mark_N: np.ndarray, kind: Kind) -> Trials:
    score_QN = query_QD.astype(np.float64) @ vector_ND.T.astype(np.float64)
    order_QK = np.argsort(-score_QN, axis=1, kind="stable")[:, :BEST]
    lacking = ((0, 0), (0, BEST - order_QK.shape[1]))
    spread = Spread.of_scores(score_QN)
    return Trials(
        score_TK=np.pad(np.take_along_axis(score_QN, order_QK, axis=1), lacking, constant_values=np.nan),
        right_TK=np.pad(mark_N[order_QK] == name_Q[:, None], lacking),
        spread=(spread.mean_Q, spread.deviation_Q),
        count_T=np.full(len(query_QD), spread.count),
        kind_T=np.full(len(query_QD), int(kind)),
        concept_T=name_Q,
    )


def _joined(parts: list[Trials]) -> Trials:
    together = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0]) if name != "spread"
    }
    mean, deviation = (np.concatenate([part.spread[number] for part in parts]) for number in (0, 1))
    return Trials(spread=(mean, deviation), **together)
