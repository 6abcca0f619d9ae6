"""A dual encoder over data: cached and uncached give the same unit vectors; broken pictures are left out."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from amodal.core.batch import Tokens
from amodal.data.pictures import BytesRef
from amodal.data.rows import Row, SkipLog
from amodal.data.tokenizers import train_bpe
from amodal.features import Encoder, FeatureCache, is_frozen, prepare_view
from amodal.models import DualEncoder, ProjectionHead
from amodal.towers import ImagePreprocessing, TextTransformer, fingerprint

CPU = torch.device("cpu")
TEXTS = ["a cat", "two dogs on a red mat by the sea", "a cat", "x", "the sea"]


class PixelTower(nn.Module):
    """Pools pixels by a linear map, with dropout that must be off while encoding."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocessing, self.width = ImagePreprocessing(size=8), 5
        self.layer, self.drop = nn.Linear(192, 5), nn.Dropout(0.5)

    def forward(self, pixels: Tensor) -> Tokens:
        pooled = self.layer(self.drop(pixels.flatten(1)))
        return Tokens(pooled[:, None], torch.ones(len(pixels), 1, dtype=torch.bool), pooled)


def rows_of(count: int, broken: tuple[int, ...] = ()) -> list[Row]:
    def encoded(seed: int) -> bytes:
        if seed in broken:
            return b"broken"
        stream = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 14, 3), np.uint8)).save(stream, "PNG")
        return stream.getvalue()

    return [Row(key=f"p{n}", picture=BytesRef(encoded(n)), captions=("a",), pair=str(n)) for n in range(count)]


def encoder_of(cache: FeatureCache | None, *, frozen: bool = True, views: tuple[int, ...] = (0,)) -> Encoder:
    torch.manual_seed(0)
    tokenizer = train_bpe(TEXTS, vocabulary=300, context_length=40)
    words = TextTransformer(vocabulary=tokenizer.vocabulary, width=8, depth=1, heads=2, context_length=40, dropout=0.3)
    heads = [ProjectionHead(width, 4, hidden=6, dropout=0.5, noise=0.5) for width in (5, 8)]
    model = DualEncoder(PixelTower(), words, *heads)
    if frozen:
        model.image_tower.requires_grad_(False)
        model.text_tower.requires_grad_(False)
    return Encoder(model.train(), tokenizer, cache, CPU, views)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "f.sqlite")


def test_is_frozen() -> None:
    layer = nn.Linear(2, 2)
    assert not is_frozen(layer)
    layer.weight.requires_grad_(False)
    assert not is_frozen(layer)
    assert is_frozen(layer.requires_grad_(False))


def test_cached_frozen_and_trained_towers_give_the_same_vectors(cache: FeatureCache) -> None:
    rows = rows_of(35, broken=(3, 34))
    kept = [n for n in range(35) if n not in (3, 34)]
    encoders = [encoder_of(cache), encoder_of(cache), encoder_of(None), encoder_of(cache, frozen=False)]
    images, texts = [], []
    for encoder in encoders:
        skipped = SkipLog()
        image_ND, found = encoder.images(rows, skipped)
        assert found == kept
        assert [entry.key for entry in skipped.entries] == ["p3", "p34"]
        images.append(image_ND)
        texts.append(encoder.texts(TEXTS))
    assert images[0].shape == (33, 4)
    assert texts[0].shape == (5, 4)
    for image_ND, text_MD in zip(images, texts, strict=True):
        np.testing.assert_allclose(image_ND, images[0], atol=1e-5)
        np.testing.assert_allclose(text_MD, texts[0], atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(image_ND, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(text_MD, axis=1), 1, atol=1e-5)
    assert len(cache) == 33 + 4  # what is trained was not kept


def test_it_is_the_model_itself(cache: FeatureCache) -> None:
    encoder, rows = encoder_of(cache), rows_of(3)
    image_ND, _ = encoder.images(rows, SkipLog())
    model = encoder.model.eval()
    pixels = torch.stack([prepare_view(row.picture.image(), model.image_tower.preprocessing, 0) for row in rows])
    with torch.no_grad():
        np.testing.assert_allclose(image_ND, model.encode_image(pixels).numpy(), atol=1e-6)
        for text, vector in zip(TEXTS, encoder.texts(TEXTS), strict=True):
            np.testing.assert_allclose(vector, model.encode_text(encoder.tokenizer([text]))[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(encoder.pixels(pixels), image_ND, atol=1e-6)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_text_is_the_same_in_any_batch_and_any_order(cache: FeatureCache, frozen: bool) -> None:
    """Three batches of texts sorted by length, many of which begin alike, against each text alone."""
    words = ["a", "red", "cat", "sat", "by", "the", "sea", "with", "two", "other", "dogs"]
    texts = [" ".join([*words[: n % 10], str(n)]) for n in range(150)]
    order = torch.randperm(150, generator=torch.Generator().manual_seed(0)).tolist()
    encoder = encoder_of(cache, frozen=frozen)
    vectors = encoder.texts([texts[number] for number in order])
    model = encoder.model.eval()
    with torch.no_grad():
        for number, vector in zip(order, vectors, strict=True):
            alone = model.encode_text(encoder.tokenizer([texts[number]]))[0].numpy()
            np.testing.assert_allclose(vector, alone, atol=1e-5)
    assert np.linalg.norm(vectors[0] - vectors[1:], axis=1).min() > 1e-3


def test_views_are_averaged_and_made_unit_length(cache: FeatureCache) -> None:
    rows = rows_of(4)
    both, _ = encoder_of(cache, views=(0, 1)).images(rows, SkipLog())
    plain, mirrored = (encoder_of(cache, views=(view,)).images(rows, SkipLog())[0] for view in (0, 1))
    mean = (plain + mirrored) / 2
    assert np.linalg.norm(mean, axis=1).min() < 0.999  # the views differ
    np.testing.assert_allclose(both, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-6)


def test_a_head_that_changes_needs_no_tower(cache: FeatureCache) -> None:
    encoder, rows = encoder_of(cache), rows_of(4)
    known = encoder.tower_images(rows, SkipLog())
    assert known is not None
    features_VNF, kept = known
    assert features_VNF.shape == (1, 4, 5)
    assert kept == [0, 1, 2, 3]
    before = encoder.head_images(features_VNF)
    encoder.model.train()
    assert np.array_equal(encoder.head_images(features_VNF), before)  # no dropout, no noise
    with torch.no_grad():
        encoder.model.image_head.layers[-1].weight.neg_()
        encoder.model.image_head.layers[-1].bias.neg_()
    np.testing.assert_allclose(encoder.head_images(features_VNF), -before, atol=1e-6)
    assert encoder_of(None).tower_images(rows, SkipLog()) is None
    assert encoder_of(cache, frozen=False).tower_texts(TEXTS) is None


def test_the_weights_are_read_once(cache: FeatureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[nn.Module] = []

    def counting(network: nn.Module, *details: object) -> str:
        read.append(network)
        return fingerprint(network, *details)

    monkeypatch.setattr("amodal.features.extract.fingerprint", counting)
    encoder = encoder_of(cache)
    for count in (2, 3):
        encoder.images(rows_of(count), SkipLog())
        encoder.texts(TEXTS[:count])
    assert read == [encoder.model.image_tower, encoder.model.text_tower]


@pytest.mark.parametrize("frozen", [True, False])
def test_nothing_in_nothing_out(cache: FeatureCache, frozen: bool) -> None:
    encoder = encoder_of(cache, frozen=frozen)
    assert len(encoder.texts([])) == 0
    skipped = SkipLog()
    image_ND, kept = encoder.images(rows_of(2, broken=(0, 1)), skipped)
    assert (len(image_ND), kept, len(skipped)) == (0, [], 2)
