"""Ranks and nearest neighbours: by hand, against full sorting, in blocks."""

import numpy as np
import pytest

import amodal.metrics.ranks
from amodal.metrics import best_matches, first_match_ranks


def test_ranks_by_hand() -> None:
    query_QD = np.array([[1, 0], [0, 1], [1, 1]])
    candidate_CD = np.array([[0.9, 0], [0, 0.9], [1, 0], [0.1, 0.1]])
    ranks = first_match_ranks(query_QD, candidate_CD, np.array([0, 1, 3]), np.array([0, 1, 2, 3]))
    assert ranks.tolist() == [1, 0, 3]
    assert ranks.dtype == np.int64


def test_best_of_several_matches_counts() -> None:
    candidate_CD = np.array([[0.1], [0.5], [0.9], [0.8]])
    group_C = np.array(["a", "b", "a", "a"])
    assert first_match_ranks(np.array([[1]]), candidate_CD, np.array(["a"]), group_C).tolist() == [0]
    assert first_match_ranks(np.array([[-1]]), candidate_CD, np.array(["b"]), group_C).tolist() == [1]


def test_other_matches_do_not_push_the_best_back() -> None:
    ranks = first_match_ranks(np.ones((1, 1)), np.array([[3], [2], [1]]), np.array([0]), np.array([0, 0, 1]))
    assert ranks.tolist() == [0]


def test_ties_stand_in_the_middle() -> None:
    group = np.arange(9)
    assert first_match_ranks(np.ones((9, 2)), np.ones((9, 2)), group, group).tolist() == [4] * 9
    assert first_match_ranks(np.ones((2, 2)), np.ones((2, 2)), group[:2], group[:2]).tolist() == [0, 0]


def test_ranks_equal_those_of_full_sorting() -> None:
    random = np.random.default_rng(0)
    query_QD, candidate_CD = random.standard_normal((40, 6)), random.standard_normal((70, 6))
    query_group, candidate_group = random.integers(10, size=40), np.arange(70) % 10
    order_QC = np.argsort(-(query_QD @ candidate_CD.T), axis=1)
    expected = [np.argmax(candidate_group[order] == group) for order, group in zip(order_QC, query_group, strict=True)]
    assert first_match_ranks(query_QD, candidate_CD, query_group, candidate_group).tolist() == expected


def test_order_of_queries_and_candidates_does_not_matter() -> None:
    random = np.random.default_rng(1)
    query_QD, candidate_CD = random.standard_normal((20, 6)), random.standard_normal((20, 6))
    group, q, c = np.arange(20), random.permutation(20), random.permutation(20)
    ranks = first_match_ranks(query_QD, candidate_CD, group, group)
    assert first_match_ranks(query_QD[q], candidate_CD[c], group[q], group[c]).tolist() == ranks[q].tolist()


@pytest.mark.parametrize("cells", [1, 50, 70, 333])
def test_blocks_equal_the_whole(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    query_QD, candidate_CD = random.standard_normal((31, 6)), random.standard_normal((50, 6))
    group_Q, group_C = np.arange(31), np.arange(50)
    ranks = first_match_ranks(query_QD, candidate_CD, group_Q, group_C)
    index_QK, score_QK = best_matches(query_QD, candidate_CD, 4)
    monkeypatch.setattr(amodal.metrics.ranks, "BLOCK_CELLS", cells)
    assert np.array_equal(first_match_ranks(query_QD, candidate_CD, group_Q, group_C), ranks)
    blocked_QK, blocked_score_QK = best_matches(query_QD, candidate_CD, 4)
    assert np.array_equal(blocked_QK, index_QK)
    assert blocked_score_QK == pytest.approx(score_QK, rel=1e-5)


def test_query_without_a_match_is_refused() -> None:
    with pytest.raises(ValueError, match="query 1 has no candidate"):
        first_match_ranks(np.eye(3), np.eye(3), np.array([0, 5, 1]), np.array([0, 1, 2]))


def test_best_matches_by_hand() -> None:
    index_QK, score_QK = best_matches(np.array([[1], [-1]]), np.array([[3], [1], [2]]), 2)
    assert index_QK.tolist() == [[0, 2], [1, 2]]
    assert score_QK.tolist() == [[3, 2], [-1, -2]]


def test_best_matches_equal_full_sorting() -> None:
    random = np.random.default_rng(3)
    query_QD, candidate_CD = random.standard_normal((10, 6)), random.standard_normal((30, 6))
    expected = np.argsort(-(query_QD @ candidate_CD.T), axis=1)
    assert np.array_equal(best_matches(query_QD, candidate_CD, 30)[0], expected)
    assert np.array_equal(best_matches(query_QD, candidate_CD, 7)[0], expected[:, :7])


def test_more_matches_than_candidates_gives_all() -> None:
    assert best_matches(np.eye(2), np.eye(2), 9)[0].shape == (2, 2)
