"""Ranks and nearest neighbours in blocks: never a full queries-by-candidates matrix.

Q queries · C candidates · D width · K kept
"""

import numpy as np

BLOCK_CELLS = 1 << 22  # 16 MiB of float32 scores at a time


def first_match_ranks(
    query_QD: np.ndarray, candidate_CD: np.ndarray, query_group_Q: np.ndarray, candidate_group_C: np.ndarray
) -> np.ndarray:
    """For each query (row), the rank (0 = best) of its best-scored candidate of the same group. -> (Q,) int64

    A candidate that ties with the match counts as half a place before it (rounded down), so that constant features
    rank at the middle and not at the top. Raises ValueError for a query without any candidate of its group.
    """
    missing = ~np.isin(query_group_Q, candidate_group_C)
    if missing.any():
        raise ValueError(f"query {int(np.flatnonzero(missing)[0])} has no candidate of its group")
    block = max(1, BLOCK_CELLS // max(1, len(candidate_CD)))
    ranks = np.empty(len(query_QD), dtype=np.int64)
    for start in range(0, len(query_QD), block):
        rows = slice(start, start + block)
        score_BC = query_QD[rows] @ candidate_CD.T
        match_BC = query_group_Q[rows, None] == candidate_group_C[None, :]
        best_B1 = np.where(match_BC, score_BC, -np.inf).max(axis=1, keepdims=True)
        before = ((score_BC > best_B1) & ~match_BC).sum(axis=1)
        tied = ((score_BC == best_B1) & ~match_BC).sum(axis=1)
        ranks[rows] = before + tied // 2
    return ranks


def best_matches(query_QD: np.ndarray, candidate_CD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best candidates (columns) of each query (row), best first. -> indices (Q, K), scores (Q, K)"""
    k = min(k, len(candidate_CD))
    block = max(1, BLOCK_CELLS // max(1, len(candidate_CD)))
    index_QK = np.empty((len(query_QD), k), dtype=np.int64)
    score_QK = np.empty((len(query_QD), k), dtype=np.float32)
    for start in range(0, len(query_QD), block):
        rows = slice(start, start + block)
        score_BC = query_QD[rows] @ candidate_CD.T
        index_BK = np.argpartition(-score_BC, k - 1, axis=1)[:, :k]
        part_BK = np.take_along_axis(score_BC, index_BK, axis=1)
        order_BK = np.argsort(-part_BK, axis=1, kind="stable")
        index_QK[rows] = np.take_along_axis(index_BK, order_BK, axis=1)
        score_QK[rows] = np.take_along_axis(part_BK, order_BK, axis=1)
    return index_QK, score_QK
