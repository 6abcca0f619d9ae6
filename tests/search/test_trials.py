"""Trials are what they say, and what is learnt from them holds on concepts never seen."""

import numpy as np
import pytest

from amodal.search import BEST, Kind, Side, Strange, calibration_figures, draw_trials, learn
from tests.search.test_calibration import D, sides

NOTHING = np.empty((0, D))


def test_present_and_absent_are_balanced_and_true() -> None:
    queries, pictures, strange = sides(0)
    trials = draw_trials(queries, pictures, NOTHING, strange, seed=0)
    kinds = np.bincount(trials.kind_T, minlength=4)
    assert kinds[Kind.PRESENT] == pytest.approx(kinds[1:].sum(), rel=0.2)
    assert not trials.right_TK[trials.kind_T != Kind.PRESENT].any()
    small = (trials.count_T <= BEST) & (trials.kind_T == Kind.PRESENT)
    assert trials.right_TK[small].any(axis=1).all()  # in a small library every present query has its answer
    assert len(np.unique(trials.count_T)) > 10


def test_the_same_seed_gives_the_same_trials() -> None:
    one, other, third = (draw_trials(*sides(0)[:2], NOTHING, sides(0)[2], seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.score_TK, other.score_TK)
    assert one.score_TK.shape != third.score_TK.shape or (one.score_TK != third.score_TK).any()


def test_strange_labels_replace_the_library() -> None:
    queries, pictures, strange = sides(0)
    labels = Strange(strange.nonsense_SD, strange.foreign_SD, replace_queries=False)
    trials = draw_trials(queries, pictures, pictures.vector_ND, labels, seed=0)
    assert not trials.right_TK[trials.kind_T >= Kind.NONSENSE].any()
    assert trials.score_TK[trials.kind_T == Kind.NONSENSE, 0].max() < 0.5  # strange vectors are half as long


def test_it_holds_on_concepts_never_seen() -> None:
    calibration = learn(draw_trials(*sides(0)[:2], sides(5)[1].vector_ND, sides(0)[2], seed=0))
    queries, pictures, strange = sides(1)
    figures = calibration_figures(calibration, draw_trials(queries, pictures, sides(6)[1].vector_ND, strange, seed=1))
    assert figures["calibration_error"].value < 0.05
    assert figures["refused"].value > 0.3  # chance 0.05
    assert figures["lost"].value == pytest.approx(0.05, abs=0.05)


def test_shuffled_pairs_teach_that_nothing_is_sure() -> None:
    queries, pictures, strange = sides(0)
    mixed = Side(queries.vector_ND, np.random.default_rng(0).permutation(queries.concept_N))
    trials = draw_trials(mixed, pictures, NOTHING, strange, seed=0)
    large = trials.count_T > 40
    assert learn(trials).fits(trials.evidence()[large, 0]).max() < 0.3
