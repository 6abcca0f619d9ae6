"""Frozen towers over data: each distinct input once, nothing twice, nothing shared between different towers."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from amodal.core.batch import Tokens
from amodal.data.pictures import BytesRef
from amodal.data.rows import Row, SkipLog
from amodal.data.tokenizers import Tokenizer, train_bpe
from amodal.features import FeatureCache, image_features, image_name, prepare_view, text_features, text_name
from amodal.towers import ImagePreprocessing

CPU = torch.device("cpu")
TEXTS = ["a cat", "a dog on a red mat", "a cat", "the sea", "half an emoji \ud83d"]


class PixelTower(nn.Module):
    """Pools pixels by a random linear map and counts the pictures it sees."""

    def __init__(self, seed: int = 0, size: int = 8) -> None:
        super().__init__()
        self.preprocessing = ImagePreprocessing(size=size)
        self.weight = nn.Parameter(torch.randn(3 * size * size, 5, generator=torch.Generator().manual_seed(seed)))
        self.width, self.seen = 5, 0

    def forward(self, pixels: Tensor) -> Tokens:
        self.seen += len(pixels)
        pooled = pixels.flatten(1) @ self.weight
        return Tokens(pooled[:, None], torch.ones(len(pixels), 1, dtype=torch.bool), pooled)


class WordTower(nn.Module):
    """The mean embedding of the real tokens; counts the texts it sees."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(400, 6, generator=torch.Generator().manual_seed(seed)))
        self.width, self.seen = 6, 0

    def forward(self, ids: Tensor, mask: Tensor) -> Tokens:
        self.seen += len(ids)
        sequence = self.weight[ids] * mask[..., None]
        return Tokens(sequence, mask, sequence.sum(1) / mask.sum(1, keepdim=True))


def encoded(seed: int) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (11, 17, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def rows_of(*contents: bytes) -> list[Row]:
    return [Row(key=f"p{n}", picture=BytesRef(c), captions=("a",), pair=str(n)) for n, c in enumerate(contents)]


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "f.sqlite")


def look(tower: nn.Module, rows: list[Row], cache: FeatureCache, views: tuple[int, ...] = (0,)):
    skipped = SkipLog()
    features, kept = image_features(
        lambda: tower, rows, name=image_name(tower), views=views, cache=cache, skipped=skipped, device=CPU
    )
    return features, kept, skipped


def tokenizer(context_length: int = 16) -> Tokenizer:
    return train_bpe(TEXTS, vocabulary=300, context_length=context_length)


def read(tower: nn.Module, words: Tokenizer, texts: list[str], cache: FeatureCache) -> Tensor:
    return text_features(tower, words, texts, name=text_name(tower, words), cache=cache, device=CPU)


@pytest.mark.parametrize("views", [(0,), (0, 1), (1, 2, 3)])
def test_results_equal_the_tower_itself(cache: FeatureCache, views: tuple[int, ...]) -> None:
    tower, rows = PixelTower(), rows_of(*(encoded(n) for n in range(40)))
    for _ in ("computed", "from the cache"):
        features, kept, skipped = look(tower, rows, cache, views)
        assert features.shape == (len(views), 40, 5)
        assert features.dtype == torch.float32
        assert kept == list(range(40))
        assert len(skipped) == 0
        for v, view in enumerate(views):
            pixels = [prepare_view(row.picture.image(), tower.preprocessing, view) for row in rows]
            with torch.no_grad():
                torch.testing.assert_close(features[v], tower(torch.stack(pixels)).pooled, rtol=1e-5, atol=1e-5)


def test_each_distinct_picture_is_computed_once_and_never_again(cache: FeatureCache) -> None:
    a, b, c = (encoded(n) for n in range(3))
    tower = PixelTower()
    features, kept, _ = look(tower, rows_of(a, b, a, a), cache)
    assert tower.seen == 2
    assert kept == [0, 1, 2, 3]
    assert torch.equal(features[0, 0], features[0, 3])
    again, _, _ = look(tower, rows_of(a, b, a, a), cache)
    assert tower.seen == 2
    assert torch.equal(again, features)
    look(tower, rows_of(c, b), cache)
    assert tower.seen == 3
    look(tower, rows_of(a), cache, views=(0, 1))
    assert tower.seen == 5


def test_broken_pictures_are_named_and_left_out(cache: FeatureCache) -> None:
    broken, good, other = b"no picture", encoded(0), encoded(1)
    tower, rows = PixelTower(), rows_of(broken, good, other[:-40], broken, other)
    features, kept, skipped = look(tower, rows, cache)
    assert kept == [1, 4]
    assert [entry.key for entry in sorted(skipped.entries)] == ["p0", "p2", "p3"]  # also the second of two alike
    whole, _, _ = look(tower, rows_of(good, other), cache)
    assert torch.equal(features, whole)
    nothing, kept, skipped = look(tower, rows_of(broken), cache, views=(0, 1))
    assert (nothing.shape[:2], kept, len(skipped)) == ((2, 0), [], 1)


def test_other_weights_and_other_preprocessing_never_share(cache: FeatureCache) -> None:
    rows, towers = rows_of(encoded(0)), [PixelTower(), PixelTower(seed=1), PixelTower(), PixelTower()]
    towers[2].preprocessing = replace(towers[0].preprocessing, fit="pad")
    towers[3].preprocessing = replace(towers[0].preprocessing, mean=(0.4, 0.5, 0.5))
    found = [look(tower, rows, cache)[0] for tower in towers]
    assert [tower.seen for tower in towers] == [1, 1, 1, 1]
    assert all(not torch.equal(found[0], other) for other in found[1:])
    look(PixelTower(), rows, cache)
    assert len(cache) == 4
    twin = PixelTower()
    look(twin, rows, cache)
    assert twin.seen == 0


def test_a_changed_file_is_another_picture(cache: FeatureCache) -> None:
    tower = PixelTower()
    first = look(tower, rows_of(encoded(0)), cache)[0]
    assert not torch.equal(look(tower, rows_of(encoded(1)), cache)[0], first)


def test_what_was_computed_before_a_failure_is_kept(cache: FeatureCache) -> None:
    class Failing(PixelTower):
        def forward(self, pixels: Tensor) -> Tokens:
            if self.seen >= 32:
                raise KeyboardInterrupt
            return super().forward(pixels)

    tower, rows = Failing(), rows_of(*(encoded(n) for n in range(40)))
    with pytest.raises(KeyboardInterrupt):
        look(tower, rows, cache)
    assert len(cache) == 32
    tower.seen = 0
    look(tower, rows, cache)
    assert tower.seen == 8


@pytest.mark.parametrize("limit", [1, 200])
def test_a_cache_too_small_still_gives_every_feature(tmp_path: Path, limit: int) -> None:
    tower, rows = PixelTower(), rows_of(*(encoded(n) for n in range(40)))
    small, large = FeatureCache(tmp_path / "s.sqlite", limit=limit), FeatureCache(tmp_path / "l.sqlite")
    assert torch.equal(look(tower, rows, small)[0], look(tower, rows, large)[0])
    assert small.size() <= limit


def test_features_can_be_trained_on(cache: FeatureCache) -> None:
    images, _, _ = look(PixelTower(), rows_of(encoded(0), encoded(1)), cache)
    texts = read(WordTower(), tokenizer(), TEXTS, cache)
    for features in (images[0], texts):
        layer = nn.Linear(features.shape[1], 2)
        layer(features).sum().backward()
        assert layer.weight.grad is not None


def test_views() -> None:
    image, preprocessing = Image.open(io.BytesIO(encoded(0))), ImagePreprocessing(size=9)
    plain, mirrored, crop, other = (prepare_view(image, preprocessing, view) for view in range(4))
    assert plain.shape == (3, 9, 9)
    assert torch.equal(mirrored, plain.flip(-1))
    assert torch.equal(crop, prepare_view(image, preprocessing, 2))
    assert len({view.numpy().tobytes() for view in (plain, mirrored, crop, other)}) == 4


def test_texts_equal_the_tower_itself_and_come_once(cache: FeatureCache) -> None:
    tower, words = WordTower(), tokenizer()
    features = read(tower, words, TEXTS, cache)
    assert tower.seen == 4
    for text, feature in zip(TEXTS, features, strict=True):
        torch.testing.assert_close(feature, WordTower()(*words([text])).pooled[0].detach())
    assert torch.equal(read(tower, words, TEXTS[::-1], cache), features.flip(0))
    assert tower.seen == 4
    assert torch.equal(features[0], features[2])


def test_texts_of_another_tower_or_tokenizer_never_share(cache: FeatureCache) -> None:
    towers = [WordTower(), WordTower(seed=1), WordTower()]
    read(towers[0], tokenizer(), TEXTS, cache)
    read(towers[1], tokenizer(), TEXTS, cache)
    read(towers[2], tokenizer(context_length=4), TEXTS, cache)
    assert [tower.seen for tower in towers] == [4, 4, 4]


def test_no_texts(cache: FeatureCache) -> None:
    assert len(read(WordTower(), tokenizer(), [], cache)) == 0
