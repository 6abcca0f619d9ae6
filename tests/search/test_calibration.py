"""Evidence and libraries: values by hand, and a library that grows equals one that was there at once."""

import numpy as np
import pytest

from amodal.search import BEST, Calibration, Side, Spread, Strange, draw_trials, learn
from amodal.search.calibration import evidence

D = 24


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def sides(seed: int, concepts: int = 80, noise: float = 0.9) -> tuple[Side, Side, Strange]:
    """Queries and pictures that are noisy copies of their concept, and strange queries that are shorter noise."""
    random = np.random.default_rng(seed)
    centre = unit(random.normal(size=(concepts, D)))
    number = np.repeat(np.arange(concepts), 2)
    queries, pictures = (unit(centre[number] + noise * unit(random.normal(size=(2 * concepts, D)))) for _ in range(2))
    strange = 0.5 * unit(random.normal(size=(2, 200, D)).reshape(-1, D)).reshape(2, 200, D)
    return Side(queries, number), Side(pictures, number), Strange(strange[0], strange[1], replace_queries=True)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """Learnt from 80 concepts."""
    queries, pictures, strange = sides(0)
    return learn(draw_trials(queries, pictures, pictures.vector_ND[:0], strange, seed=0))


def test_evidence_by_hand() -> None:
    score = np.array([[0.9, 0.5, 0.1]])
    known = evidence(score, Spread.of_scores(score))
    mean, deviation, size = 0.5, float(np.std([0.9, 0.5, 0.1])), float(np.log(3))
    np.testing.assert_allclose(known[0, 0], [0.9, 0.5, 0.3, mean, deviation, size])
    np.testing.assert_allclose(known[0, 2], [0.1, 0.9, 0.7, mean, deviation, size])


def test_a_lonely_answer_has_no_others() -> None:
    score = np.array([[0.4]])
    known = evidence(score, Spread.of_scores(score))[0, 0]
    assert known[0] == 0.4
    assert np.isnan(known[1:5]).all()
    assert known[5] == 0.0


def test_answers_behind_the_best_ten_see_nine_of_them() -> None:
    score = np.linspace(1, 0, 15)[None]
    known = evidence(score, Spread.of_scores(score))[0]
    np.testing.assert_allclose(known[12, 1:3], [1.0, score[0, :9].mean()])
    np.testing.assert_allclose(known[:BEST], evidence(score[:, :BEST], Spread.of_scores(score))[0])


def test_some_vectors_of_a_library_tell_its_spread() -> None:
    random = np.random.default_rng(0)
    vectors, query = unit(random.normal(size=(20_000, D))), unit(random.normal(size=(1, D)))
    whole, some = (Spread.of_scores(query @ part.T) for part in (vectors, random.permutation(vectors)[:4096]))
    np.testing.assert_allclose(some.mean_Q, whole.mean_Q, atol=4 * whole.deviation_Q[0] / 64)
    np.testing.assert_allclose(some.deviation_Q, whole.deviation_Q, rtol=0.05)
    assert whole.count == 20_000


def test_an_empty_library_holds_no_match(calibration: Calibration) -> None:
    spread = Spread(np.zeros(2), np.zeros(2), 0)
    assert calibration.no_match(np.empty((2, 0)), spread).tolist() == [True, True]
    assert calibration.probability(np.empty((2, 0)), spread).shape == (2, 0)


def test_probability_rises_with_the_score_and_falls_down_the_list(calibration: Calibration) -> None:
    queries, pictures, _ = sides(1)
    score = np.sort(queries.vector_ND @ pictures.vector_ND.T, axis=1)[:, ::-1]
    chance = calibration.probability(score[:, :20], Spread.of_scores(score))
    assert (np.diff(chance, axis=1) <= 1e-12).mean() > 0.99
    assert ((chance >= 0) & (chance <= 1)).all()


def test_json_gives_the_same_again(calibration: Calibration) -> None:
    assert Calibration.from_json(calibration.to_json()) == calibration
