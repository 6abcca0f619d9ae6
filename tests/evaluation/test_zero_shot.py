"""Zero-shot classification: by hand, at chance, in blocks; class embeddings from templates."""

import importlib
from collections.abc import Sequence

import numpy as np
import pytest

import amodal.metrics.ranks
from amodal.core.errors import DataError, UsageError
from amodal.evaluation.zero_shot import Confusion, class_embeddings, zero_shot

module = importlib.import_module("amodal.evaluation.zero_shot")  # the room's name `zero_shot` is the function
CLASSES = ("cat", "dog", "apple")


def letters(texts: Sequence[str]) -> np.ndarray:
    """A text encoder: how often each letter occurs. -> (texts, 26), of any length"""
    return np.array([[float(text.count(chr(97 + letter))) for letter in range(26)] for text in texts])


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_by_hand() -> None:
    image_ND = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0.6, 0.4], [0, 0, 1], [0, 1, 0]])
    result = zero_shot(image_ND, np.eye(3, dtype=np.float32), np.array([0, 0, 0, 1, 2, 2]), CLASSES)
    top_1 = result.figures["zero_shot/top-1"]
    assert top_1.value == pytest.approx(3 / 6)
    assert (top_1.n, top_1.candidates, top_1.chance) == (6, 3, 1 / 3)
    assert top_1.low <= top_1.value <= top_1.high
    assert result.accuracy_C == pytest.approx([1 / 3, 1, 1 / 2])
    assert result.figures["zero_shot/mean_per_class"].value == pytest.approx((1 / 3 + 1 + 1 / 2) / 3)
    assert result.figures["zero_shot/top-5"].value == result.figures["zero_shot/top-5"].chance == 1
    assert result.confusion_CC is not None
    assert result.confusion_CC.tolist() == [[1, 2, 0], [0, 1, 0], [0, 1, 1]]
    assert result.confused == (Confusion("cat", "dog", 2), Confusion("apple", "dog", 1))


def test_a_class_without_pictures_is_a_candidate_only() -> None:
    result = zero_shot(np.eye(3)[:2], np.eye(3), np.array([0, 1]), CLASSES)
    assert np.isnan(result.accuracy_C[2])
    assert result.figures["zero_shot/mean_per_class"].value == 1
    assert result.confused == ()


def test_many_classes_give_a_list_and_no_matrix() -> None:
    image_ND = np.eye(201, dtype=np.float32)[[0, 0, 3]]
    result = zero_shot(image_ND, np.eye(201, dtype=np.float32), np.array([7, 7, 3]), [str(c) for c in range(201)])
    assert result.confusion_CC is None
    assert result.confused == (Confusion("7", "0", 2),)


def test_features_that_carry_nothing_score_chance() -> None:
    random = np.random.default_rng(0)
    image_ND, class_CD = random.standard_normal((3000, 32)), random.standard_normal((10, 32))
    figures = zero_shot(image_ND, class_CD, random.integers(10, size=3000), [str(c) for c in range(10)]).figures
    for figure in figures.values():
        assert figure.chance is not None
        assert figure.low - 0.02 < figure.chance < figure.high + 0.02
    assert figures["zero_shot/top-5"].chance == 0.5


def test_order_of_rows_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    image_ND, class_CD, label_N = random.standard_normal((90, 8)), random.standard_normal((6, 8)), np.arange(90) % 6
    whole = zero_shot(image_ND, class_CD, label_N, list("abcdef"))
    order = random.permutation(90)
    monkeypatch.setattr(amodal.metrics.ranks, "BLOCK_CELLS", 6 * 7)
    shuffled = zero_shot(image_ND[order], class_CD, label_N[order], list("abcdef"))
    assert np.array_equal(whole.accuracy_C, shuffled.accuracy_C)
    assert whole.confused == shuffled.confused
    for name, figure in whole.figures.items():
        assert figure.value == pytest.approx(shuffled.figures[name].value)


def test_groups_widen_the_interval_and_are_counted() -> None:
    random = np.random.default_rng(2)
    label_N = np.repeat(random.integers(4, size=60), 10)
    image_ND = np.repeat(random.standard_normal((60, 4)), 10, axis=0)  # ten copies of each picture say no more than one
    alone = zero_shot(image_ND, np.eye(4), label_N, list("abcd")).figures
    grouped = zero_shot(image_ND, np.eye(4), label_N, list("abcd"), group_N=np.repeat(np.arange(60), 10)).figures
    for name, figure in grouped.items():
        assert figure.n == 60
        assert figure.high - figure.low >= 2 * (alone[name].high - alone[name].low) or name == "zero_shot/top-5"


def test_class_embeddings_are_means_of_unit_length_made_unit_length() -> None:
    class_CD = class_embeddings(letters, ["cat", "dog"], ["{}", "a photo of a {}."])
    assert class_CD.shape == (2, 26)
    assert class_CD.dtype == np.float32
    expected = unit((unit(letters(["cat"])) + unit(letters(["a photo of a cat."]))) / 2)[0]
    assert class_CD[0] == pytest.approx(expected)
    assert np.linalg.norm(class_CD, axis=1) == pytest.approx([1, 1])


def test_class_embeddings_in_blocks_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["cat", "dog", "apple", "owl", "hen"]
    whole = class_embeddings(letters, names, "drawings")
    monkeypatch.setattr(module, "_TEXTS_AT_ONCE", 17)
    assert np.array_equal(class_embeddings(letters, names, "drawings"), whole)


def test_named_classes_are_found() -> None:
    class_CD = class_embeddings(letters, CLASSES, "photo")
    images = class_embeddings(letters, CLASSES, "plain")
    assert zero_shot(images, class_CD, np.arange(3), CLASSES).figures["zero_shot/top-1"].value == 1


def test_what_cannot_be_classified_is_refused() -> None:
    with pytest.raises(UsageError, match="no class"):
        class_embeddings(letters, [], "photo")
    with pytest.raises(DataError, match="picture 1 has label 3"):
        zero_shot(np.eye(3)[:2], np.eye(3), np.array([0, 3]), CLASSES)
    with pytest.raises(DataError, match="no picture"):
        zero_shot(np.eye(3)[:0], np.eye(3), np.array([], dtype=int), CLASSES)
    with pytest.raises(DataError, match="class 2 are not finite"):
        zero_shot(np.eye(3), np.diag([1, 1, np.nan]), np.arange(3), CLASSES)
    with pytest.raises(ValueError, match="one a row"):
        zero_shot(np.eye(3), np.eye(3), np.arange(3), CLASSES[:2])
