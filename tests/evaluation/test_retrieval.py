"""Retrieval figures: by hand, against chance, and independent of order and block size."""

import numpy as np
import pytest

import amodal.metrics.ranks
from amodal.core.errors import DataError, UsageError
from amodal.evaluation.retrieval import chance_ranks, retrieval, retrieval_gain
from amodal.metrics import Figure


def random_pairs(pairs: int, captions: int = 1, width: int = 16) -> tuple[np.ndarray, ...]:
    """Features that carry nothing: image_ND, text_MD, image_group_N, text_group_M."""
    random = np.random.default_rng(pairs)
    image_ND = random.standard_normal((pairs, width)).astype(np.float32)
    text_MD = random.standard_normal((pairs * captions, width)).astype(np.float32)
    return image_ND, text_MD, np.arange(pairs), np.repeat(np.arange(pairs), captions)


def rounded(figures: dict[str, Figure]) -> dict[str, list[float]]:
    return {name: [round(float(value or 0), 5) for value in f.to_json().values()] for name, f in figures.items()}


def test_by_hand() -> None:
    image_ND = np.eye(3, dtype=np.float32)
    text_MD = np.array([[0.9, 0, 0], [0, 0.2, 0.8], [0, 0.5, 0.4]])  # text 1 shows picture 2 best, text 2 picture 1
    figures = retrieval(image_ND, text_MD, np.arange(3), np.arange(3))
    assert set(figures) == {
        f"{direction}/{name}"
        for direction in ("image_to_text", "text_to_image")
        for name in ("R@1", "R@5", "R@10", "median_rank")
    }
    first = figures["image_to_text/R@1"]
    assert first.value == pytest.approx(1 / 3)
    assert (first.n, first.candidates, first.chance) == (3, 3, pytest.approx(1 / 3))
    assert first.low <= first.value <= first.high
    assert figures["image_to_text/median_rank"].value == 2
    assert figures["image_to_text/median_rank"].chance == 2
    assert figures["text_to_image/R@5"].value == figures["text_to_image/R@5"].chance == 1


def test_one_of_several_captions_is_enough() -> None:
    image_ND = np.array([[1, 0], [0, 1]])
    text_MD = np.array([[0.1, 0.9], [1, 0], [0, 1], [0, 0.8]])  # the first caption of picture 0 fits picture 1 better
    figures = retrieval(image_ND, text_MD, np.array(["a", "b"]), np.array(["a", "a", "b", "b"]))
    assert figures["image_to_text/R@1"].value == 1
    assert figures["image_to_text/R@1"].chance == pytest.approx(1 / 2)
    assert figures["image_to_text/R@5"].candidates == 4
    assert figures["text_to_image/R@1"].value == 3 / 4
    assert figures["text_to_image/R@1"].n == 2


def test_several_pictures_of_one_group() -> None:
    figures = retrieval(np.array([[1, 0], [0.9, 0.1], [0, 1]]), np.eye(2), np.array([0, 0, 1]), np.array([0, 1]))
    assert figures["text_to_image/R@1"].chance == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert figures["text_to_image/R@1"].value == figures["image_to_text/R@1"].value == 1


@pytest.mark.parametrize("captions", [1, 3])
@pytest.mark.parametrize("candidates", [None, 40])
def test_features_that_carry_nothing_score_chance(captions: int, candidates: int | None) -> None:
    figures = retrieval(*random_pairs(600, captions, width=64), candidates=candidates)
    for name, figure in figures.items():
        assert figure.chance is not None
        spread = max(figure.high - figure.low, 0.02)
        assert abs(figure.value - figure.chance) < spread, (name, figure)


def test_order_of_rows_does_not_matter() -> None:
    image_ND, text_MD, image_group_N, text_group_M = random_pairs(50, 2)
    i, t = np.random.default_rng(1).permutation(50), np.random.default_rng(2).permutation(100)
    for candidates in (None, 20):
        figures = retrieval(image_ND, text_MD, image_group_N, text_group_M, candidates=candidates)
        shuffled = retrieval(image_ND[i], text_MD[t], image_group_N[i], text_group_M[t], candidates=candidates)
        assert rounded(figures) == rounded(shuffled)


def test_blocks_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = random_pairs(60, 2)
    whole = retrieval(*pairs, candidates=30)
    monkeypatch.setattr(amodal.metrics.ranks, "BLOCK_CELLS", 7 * 60)
    assert rounded(retrieval(*pairs, candidates=30)) == rounded(whole)


def test_draws_restrict_the_candidates() -> None:
    image_ND, text_MD, image_group_N, text_group_M = random_pairs(200, 2)
    figures = retrieval(image_ND, text_MD, image_group_N, text_group_M, candidates=10, draws=40)
    assert figures["image_to_text/R@5"].candidates == 20
    assert figures["text_to_image/R@5"].candidates == 10
    assert figures["text_to_image/R@5"].chance == pytest.approx(0.5)
    assert figures["text_to_image/R@10"].value == 1
    assert figures["text_to_image/median_rank"].chance == 5.5
    assert figures["text_to_image/R@1"].n < 200  # 40 draws of 10 miss some groups


def test_a_draw_of_everything_is_everything() -> None:
    pairs = random_pairs(30, 2)
    assert rounded(retrieval(*pairs, candidates=30, draws=1)) == rounded(retrieval(*pairs))


def test_draws_follow_the_seed() -> None:
    pairs = random_pairs(80)
    values = [retrieval(*pairs, candidates=20, draws=3, seed=seed)["image_to_text/R@5"].value for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_chance_of_ranks_by_hand() -> None:
    one_of_four = chance_ranks(np.array([1]), np.array([4]))
    assert one_of_four == pytest.approx([0.25, 0.5, 0.75, 1])
    two_of_four = chance_ranks(np.array([2]), np.array([4]))
    assert two_of_four == pytest.approx([1 / 2, 1 - 1 / 6, 1, 1])  # both wrong ones first: 2/4 * 1/3
    assert chance_ranks(np.array([1, 2]), np.array([4, 2])) == pytest.approx([(0.25 + 1) / 2, 0.75, 0.875, 1])


def test_constant_features_do_not_win() -> None:
    figures = retrieval(np.ones((20, 4)), np.ones((20, 4)), np.arange(20), np.arange(20))
    assert figures["image_to_text/R@5"].value == 0
    assert figures["image_to_text/median_rank"].value == 10


def test_what_cannot_be_evaluated_is_refused() -> None:
    image_ND, text_MD, image_group_N, text_group_M = random_pairs(4)
    with pytest.raises(UsageError, match="from 1 to 4"):
        retrieval(image_ND, text_MD, image_group_N, text_group_M, candidates=5)
    with pytest.raises(UsageError, match="draws=0"):
        retrieval(image_ND, text_MD, image_group_N, text_group_M, candidates=2, draws=0)
    with pytest.raises(DataError, match="group 3 has no text"):
        retrieval(image_ND, text_MD[:3], image_group_N, text_group_M[:3])
    with pytest.raises(DataError, match="no image to evaluate"):
        retrieval(image_ND[:0], text_MD, image_group_N[:0], text_group_M)
    with pytest.raises(ValueError, match="one group a row"):
        retrieval(image_ND, text_MD, image_group_N[:2], text_group_M)
    image_ND[2, 1] = np.nan
    with pytest.raises(DataError, match="image 2 are not finite"):
        retrieval(image_ND, text_MD, image_group_N, text_group_M)


@pytest.mark.parametrize("candidates", [None, 12])
def test_gain_is_the_difference_with_the_interval_of_the_pairs(candidates: int | None) -> None:
    """A model, the same with more noise, and the same again: three pictures and two texts a group."""
    draw = np.random.default_rng(0)
    base = draw.normal(size=(40, 8))
    image_group, text_group = np.arange(40).repeat(3), np.arange(40).repeat(2)
    image, text = base[image_group] + 0.6 * draw.normal(size=(120, 8)), base[text_group]
    worse = image + 2 * draw.normal(size=image.shape)
    how = {"candidates": candidates, "draws": 5}
    gain = retrieval_gain((worse, text), (image, text), image_group, text_group, **how)
    had, has = (retrieval(each, text, image_group, text_group, **how) for each in (worse, image))
    assert set(gain) == {f"{side}/R@{k}" for side in ("image_to_text", "text_to_image") for k in (1, 5, 10)}
    for name, figure in gain.items():
        assert figure.value == pytest.approx(has[name].value - had[name].value)
        assert (figure.n, figure.candidates, figure.chance) == (has[name].n, has[name].candidates, None)
    first = gain["image_to_text/R@1"]
    assert 0 < first.low < first.value < first.high
    apart = (has["image_to_text/R@1"].high - had["image_to_text/R@1"].low) - first.value
    assert first.high - first.value < apart  # what both models share cancels
    none = retrieval_gain((image, text), (image, text), image_group, text_group, **how)
    assert {(figure.low, figure.value, figure.high) for figure in none.values()} == {(0.0, 0.0, 0.0)}
