"""Which retrievals of a run a report shows: its best and its worst, with what was found instead.

N pictures · M captions · D width · K kept
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL.Image import Image

from amodal.metrics import best_matches, first_match_ranks

BLOCK_CELLS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What a report shows retrievals from.

    image_features: (N, D) and text_features: (M, D), of unit length; image_groups: (N,) and text_groups: (M,), equal
    where picture and caption belong together; captions: M texts; picture: number of a picture -> the picture.
    """

    image_features: np.ndarray
    text_features: np.ndarray
    image_groups: np.ndarray
    text_groups: np.ndarray
    captions: Sequence[str]
    picture: Callable[[int], Image]

    def __post_init__(self) -> None:
        sizes = {
            "image_groups": (len(self.image_groups), len(self.image_features)),
            "text_groups": (len(self.text_groups), len(self.text_features)),
            "captions": (len(self.captions), len(self.text_features)),
        }
        for name, (found, wanted) in sizes.items():
            if found != wanted:
                raise ValueError(f"{name} has {found} entries for {wanted} rows of features; give one each")

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """One picture and its first caption for each group that has both. -> picture numbers, caption numbers"""
        groups, image_index = np.unique(self.image_groups, return_index=True)
        text_of, text_index = np.unique(self.text_groups, return_index=True)
        _, in_images, in_texts = np.intersect1d(groups, text_of, return_indices=True)
        order = np.argsort(image_index[in_images])
        return image_index[in_images][order], text_index[in_texts][order]


class Hit(NamedTuple):
    """One thing found: its number, its cosine to the query, whether it belongs to the query."""

    index: int
    score: float
    right: bool


class Retrieval(NamedTuple):
    """One query with the best things found for it; the best thing that belongs to it, and its rank (0 = first)."""

    query: int
    truth: int
    rank: int
    margin: float
    hits: tuple[Hit, ...]


def best_and_worst(
    query_QD: np.ndarray,
    candidate_CD: np.ndarray,
    query_group_Q: np.ndarray,
    candidate_group_C: np.ndarray,
    *,
    count: int = 6,
    k: int = 3,
) -> tuple[list[Retrieval], list[Retrieval]]:
    """The `count` queries won by most and those lost by most, one of each group. -> best first, worst first

    Won by: the cosine of the best candidate of the query's own group, less that of the best of any other group.
    Queries without a candidate of their group are left out, and no query is in both lists.
    """
    margin_Q, truth_Q = _margins(query_QD, candidate_CD, query_group_Q, candidate_group_C)
    order = _one_per_group(np.argsort(-margin_Q, kind="stable"), margin_Q, query_group_Q)
    worst = _one_per_group(np.argsort(margin_Q, kind="stable"), margin_Q, query_group_Q)
    count = min(count, len(order) // 2) if len(order) > 1 else len(order)
    chosen = order[:count]
    lost = [each for each in worst if each not in set(chosen)][:count]

    def show(queries: list[int]) -> list[Retrieval]:
        if not queries:
            return []
        found_QK, score_QK = best_matches(query_QD[queries], candidate_CD, k)
        rank_Q = first_match_ranks(query_QD[queries], candidate_CD, query_group_Q[queries], candidate_group_C)
        shown = []
        for query, rank, found_K, score_K in zip(queries, rank_Q, found_QK, score_QK, strict=True):
            hits = _hits(found_K, score_K, candidate_group_C == query_group_Q[query])
            shown.append(Retrieval(query, int(truth_Q[query]), int(rank), float(margin_Q[query]), hits))
        return shown

    return show(chosen), show(lost)


def _hits(found_K: np.ndarray, score_K: np.ndarray, right_C: np.ndarray) -> tuple[Hit, ...]:
    found = zip(found_K, score_K, strict=True)
    return tuple(Hit(int(index), float(score), bool(right_C[index])) for index, score in found)


def _margins(
    query_QD: np.ndarray, candidate_CD: np.ndarray, query_group_Q: np.ndarray, candidate_group_C: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Best own cosine less best other (NaN without an own one), and which own candidate it was; in blocks."""
    margin_Q, truth_Q = np.full(len(query_QD), np.nan), np.zeros(len(query_QD), dtype=np.int64)
    block = max(1, BLOCK_CELLS // max(1, len(candidate_CD)))
    for start in range(0, len(query_QD), block):
        rows = slice(start, start + block)
        score_BC = query_QD[rows] @ candidate_CD.T
        own_BC = query_group_Q[rows, None] == candidate_group_C[None, :]
        own = np.where(own_BC, score_BC, -np.inf)
        truth_Q[rows] = own.argmax(axis=1)
        other_B = np.where(own_BC, -1.0, score_BC).max(axis=1)
        margin_Q[rows] = np.where(own_BC.any(axis=1), own.max(axis=1) - other_B, np.nan)
    return margin_Q, truth_Q


def _one_per_group(order: np.ndarray, margin_Q: np.ndarray, group_Q: np.ndarray) -> list[int]:
    taken: dict[object, int] = {}
    for query in order.tolist():
        if np.isfinite(margin_Q[query]):
            taken.setdefault(group_Q[query], query)
    return list(taken.values())
