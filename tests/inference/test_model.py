"""The object a person holds: every form of a picture gives the same vector, order is kept, broken ones are named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import amodal
from amodal.core.errors import DataError, UsageError
from amodal.features import FeatureCache
from amodal.inference import Model

LABELS = ["red circle", "green square", "blue triangle", "yellow circle"]


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Model:
    return amodal.load(tiny_run)


@pytest.fixture(scope="module")
def pictures(shapes: Path) -> list[Path]:
    return sorted(shapes.parent.glob("*-0.png"))


def test_a_cache_of_ones_own_is_used_though_it_is_empty(tiny_run: Path, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "features.sqlite")
    assert amodal.load(tiny_run, cache=cache).encoder.cache is cache


def test_every_form_of_a_picture_gives_the_same_vector(model: Model, pictures: list[Path]) -> None:
    path = pictures[0]
    vector = model.encode_image(path)
    assert vector.shape == (32,)
    assert vector.dtype == np.float32
    for form in (str(path), path.read_bytes(), Image.open(path), Image.open(path).convert("RGBA")):
        np.testing.assert_array_equal(model.encode_image(form), vector)
    np.testing.assert_array_equal(model.encode_image([path]), vector[None])


def test_order_is_kept_and_batches_change_nothing(model: Model, pictures: list[Path]) -> None:
    many = [*pictures, *reversed(pictures)] * 2  # more than one batch
    together = model.encode_image(many)
    assert together.shape == (48, 32)
    np.testing.assert_allclose(together, np.stack([model.encode_image(path) for path in many]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert len(np.unique(together.round(3), axis=0)) == len(pictures)


def test_texts_keep_their_order_whatever_their_length(model: Model) -> None:
    texts = ["a very long line about one yellow triangle", "red", "a blue square", "red"]
    together = model.encode_text(texts)
    assert together.shape == (4, 32)
    np.testing.assert_allclose(together, np.stack([model.encode_text(text) for text in texts]), atol=1e-5)
    np.testing.assert_array_equal(together[1], together[3])
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_broken_pictures_are_named(model: Model, pictures: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(pictures[0].read_bytes()[:100])
    with pytest.raises(DataError, match=r"broken\.png.*leave it out or mend it"):
        model.encode_image([pictures[0], broken])
    with pytest.raises(DataError, match=r"none\.png") as told:
        model.encode_image(tmp_path / "none.png")
    assert str(told.value).count("none.png") == 1
    with pytest.raises(DataError, match="picture 1: "):
        model.encode_image([pictures[0].read_bytes(), b"no picture"])


def test_similarity_is_the_cosine_of_every_pair(model: Model, pictures: list[Path]) -> None:
    texts = [f"a {label}" for label in LABELS]
    found = model.similarity(pictures, texts)
    assert found.shape == (12, 4)
    np.testing.assert_allclose(found, model.encode_image(pictures) @ model.encode_text(texts).T, atol=1e-6)
    assert model.similarity(pictures[0], texts).shape == (1, 4)
    assert model.similarity(pictures[0], texts[0]).shape == (1, 1)


def test_match_is_the_cosine_of_each_picture_with_its_text(model: Model, pictures: list[Path]) -> None:
    shown, said = [pictures[n] for n in (0, 1, 0, 2)], ["a red circle", "a dog", "a dog", "a red circle"]
    expected = model.similarity(shown, said).diagonal()
    assert np.allclose(model.match(shown, said), expected, atol=1e-6)
    with pytest.raises(UsageError, match="4 pictures cannot be matched with 3 texts"):
        model.match(shown, said[:3])


def test_classify_gives_one_list_a_picture(model: Model, pictures: list[Path]) -> None:
    one = model.classify(pictures[0], LABELS)
    (same,) = model.classify([pictures[0]], LABELS)
    assert one == same
    assert {score["label"] for score in same} == set(LABELS)
    assert sum(score["share"] for score in same) == pytest.approx(1, abs=1e-5)
    assert [score["share"] for score in same] == sorted((score["share"] for score in same), reverse=True)


def test_shares_are_the_softmax_of_scaled_cosines(model: Model, pictures: list[Path]) -> None:
    (scores,) = model.classify([pictures[3]], LABELS, templates="a {}")
    cosine = model.similarity(pictures[3], [f"a {label}" for label in LABELS])[0]
    expected = np.exp(np.exp(model.logit_scale) * cosine)
    by_label = {score["label"]: score["share"] for score in scores}
    np.testing.assert_allclose([by_label[label] for label in LABELS], expected / expected.sum(), rtol=1e-4)


def test_templates_are_averaged(model: Model, pictures: list[Path]) -> None:
    said = model.encode_text([f"a {label}" for label in LABELS]) + model.encode_text(LABELS)
    said /= np.linalg.norm(said, axis=1, keepdims=True)
    cosine = model.encode_image(pictures[0]) @ said.T
    (scores,) = model.classify([pictures[0]], LABELS, templates=["a {}", "{}"])
    assert [score["label"] for score in scores] == [LABELS[number] for number in np.argsort(-cosine)]


@pytest.mark.parametrize("labels", [[], ["cat", "cat"], ["cat", " "], ["cat", "cat "]])
def test_bad_labels(model: Model, pictures: list[Path], labels: list[str]) -> None:
    with pytest.raises(UsageError, match="distinct and not empty"):
        model.classify(pictures[0], labels)


def test_bad_templates(model: Model, pictures: list[Path]) -> None:
    with pytest.raises(UsageError, match="no templates are called"):
        model.classify(pictures[0], LABELS, templates="fotos")


def test_nothing_gives_nothing(model: Model) -> None:
    assert model.encode_image([]).shape == (0, 32)
    assert model.encode_text([]).shape == (0, 32)
    assert model.classify([], LABELS) == []


def test_load_names_what_it_was_given(model: Model, tiny_run: Path, tmp_path: Path) -> None:
    assert repr(model) == f"amodal.Model({str(tiny_run)!r})"
    with pytest.raises(UsageError, match="there is no model at"):
        amodal.load(tmp_path / "none")


def test_a_fingerprint_names_the_weights(model: Model, tiny_run: Path) -> None:
    again = amodal.load(tiny_run)
    assert again.fingerprint == model.fingerprint
    assert again.width == 32
    with torch.no_grad():
        next(again.encoder.model.image_head.parameters()).add_(1)
    changed = Model(replace(again.encoder), name="changed", logit_scale=0.0, templates="photographs")
    assert changed.fingerprint != model.fingerprint


def test_pictures_are_indexed_and_found(model: Model, pictures: list[Path], tmp_path: Path) -> None:
    index = model.index(pictures[0].parent / "pairs.csv", tmp_path / "index")
    assert len(index) == 48
    best = index.search(pictures[0], top=1).results[0]
    assert best.path == str(pictures[0])
    assert best.score == pytest.approx(1, abs=1e-3)
