"""From a table to what training reads and what evaluation judges, whatever is frozen.

V views · N pictures · M texts · F width of a tower · K classes
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from amodal.core.errors import DataError
from amodal.core.ranks import ALONE, Ranks
from amodal.core.seeds import generator_for
from amodal.data.batches import Captions, PairBatches, Part, Pictures, readable_pictures
from amodal.data.rows import Row, SkipLog, Table
from amodal.data.shard_index import Shards
from amodal.data.streams import ShardBatches
from amodal.data.transforms import fit_picture, random_view, to_tensor
from amodal.features import CachedImages, CachedTexts, Encoder
from amodal.recipes.schema import Recipe
from amodal.towers import ImagePreprocessing, class_stand_ins, class_texts

MEMORY_FOR_JUDGED = 1 << 29
"""Bytes of pictures of one split that are kept decoded."""


@dataclass(frozen=True)
class Judged:
    """The pairs of one split, ready to be encoded again and again by a model that changes.

    images: cached tower features (V, N, F), or None for a tower that is trained; the same of texts. fitted: for a tower
    that is trained, the first pictures at its size, as many as there is room for; the others are decoded each time.
    groups tell which text belongs to which picture; `rows` are the N readable ones.
    """

    encoder: Encoder
    rows: list[Row]
    texts: list[str]
    image_groups: np.ndarray
    text_groups: np.ndarray
    images: Tensor | None
    text_features: Tensor | None
    skipped: SkipLog
    fitted: Sequence[Tensor] = ()

    def encode(self) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors of the pictures (N, D) and of the texts (M, D), by the model as it is now."""
        encoder = self.encoder
        encoder.model.eval()
        if self.images is not None:
            image_ND = encoder.head_images(self.images)
        else:
            late = encoder.images(self.rows[len(self.fitted) :], self.skipped)[0]
            early = encoder.fitted(self.fitted)
            image_ND = np.concatenate([part for part in (early, late) if len(part)])
        if self.text_features is not None:
            return image_ND, encoder.head_texts(self.text_features)
        return image_ND, encoder.texts(self.texts)


def judged_pairs(encoder: Encoder, table: Table, captions: str) -> Judged:
    """The pairs of `table`; captions "first" judges one caption a picture, "all" every one."""
    known = encoder.tower_images(table.rows, table.skipped)
    images, kept = known or (None, [])
    fitted: list[Tensor] = []
    if images is None:
        size, fit = encoder.model.image_tower.preprocessing.size, encoder.model.image_tower.preprocessing.fit
        for number, image in readable_pictures(table.rows, size, table.skipped):
            kept.append(number)
            if 3 * size**2 * len(kept) <= MEMORY_FOR_JUDGED:
                fitted.append(fit_picture(image, size, fit))
    rows = [table.rows[number] for number in kept]
    if not rows:
        raise DataError(f"{table.name}: not one picture of this split can be read")
    texts = dict.fromkeys((row.pair, text) for row in rows for text in row.said(captions))
    number = {pair: index for index, pair in enumerate(dict.fromkeys(row.pair for row in rows))}
    said = [text for _, text in texts]
    return Judged(
        encoder=encoder,
        rows=rows,
        texts=said,
        image_groups=np.array([number[row.pair] for row in rows]),
        text_groups=np.array([number[pair] for pair, _ in texts]),
        images=images,
        text_features=encoder.tower_texts(said),
        skipped=table.skipped,
        fitted=fitted,
    )


def training_batches(recipe: Recipe, encoder: Encoder, table: Table, ranks: Ranks = ALONE) -> PairBatches:
    """The batches of the training split, this rank's share of each; also measures the inputs of heads over frozen
    towers."""
    known = encoder.tower_images(table.rows, table.skipped)
    rows, pairs = table.rows, [row.pair for row in table.rows]
    if known is not None:
        features_VNF, kept = known
        rows = [table.rows[number] for number in kept]
        table.skipped.check()
        pairs = [row.pair for row in rows]
    captions = [row.said(recipe.data.captions) for row in rows]
    keys = [row.key for row in rows]
    image_part: Part
    if known is not None:
        if not recipe.start:  # which has measured them
            encoder.model.image_head.fit_inputs(features_VNF.flatten(0, 1))
        if recipe.task.class_pairs:
            features_VNF, extra = _with_classes(encoder, features_VNF)
            captions, keys = [*captions, *extra], [*keys, *(f"class:{texts[0]}" for texts in extra)]
            pairs = [*pairs, *(f"class:{number}" for number in range(len(extra)))]
        image_part = CachedImages(features_VNF)
    else:
        image_part = _pictures(recipe, encoder, table.rows)
        keep = image_part.keep_readable(table.skipped)
        table.skipped.check()
        keys, pairs = ([values[number] for number in keep] for values in (keys, pairs))
        captions = [captions[number] for number in keep]
    training = recipe.training
    text_part = _texts(encoder, captions, training.augment.words, fit=not recipe.start)
    return PairBatches(
        keys,
        pairs,
        [image_part, text_part],
        batch_size=training.batch_size,
        seed=training.seed,
        ranks=ranks,
        lengths=_mean_lengths(encoder, captions) if training.bucket else (),
        bucket=training.bucket,
    )


def streamed_batches(recipe: Recipe, encoder: Encoder, shards: Shards, ranks: Ranks = ALONE) -> ShardBatches:
    """The batches of shards, this rank's share of each, for two trained towers."""
    preprocessing, training = encoder.model.image_tower.preprocessing, recipe.training
    return ShardBatches(
        shards,
        _view(recipe, preprocessing),
        encoder.tokenizer,
        batch_size=training.batch_size,
        seed=training.seed,
        at_least=enough_pixels(recipe, preprocessing),
        first_caption=recipe.data.captions == "first",
        left_out=training.augment.words,
        ranks=ranks,
    )


@torch.no_grad()
def solve_regression(encoder: Encoder, batches: PairBatches, seed: int) -> None:
    """Sets the solved heads of a model by all pairs at once: each picture is brought to the mean of its captions."""
    images, texts = batches.parts
    assert isinstance(images, CachedImages)
    assert isinstance(texts, CachedTexts)
    word_ME = encoder.model.text_head.solved(texts.features_MF.to(encoder.device)).cpu()
    target_NE = F.normalize(texts.mean_of_captions(word_ME), dim=-1).repeat(len(images.features_VNF), 1)
    pictures_NF = images.features_VNF.flatten(0, 1)
    draw = generator_for(seed, "anchors")
    encoder.model.image_head.solved.solve(pictures_NF.to(encoder.device), target_NE.to(encoder.device), draw)


def _pictures(recipe: Recipe, encoder: Encoder, rows: Sequence[Row]) -> Pictures:
    """Pictures decoded once and seen in random views."""
    preprocessing = encoder.model.image_tower.preprocessing
    return Pictures(rows, _view(recipe, preprocessing), enough_pixels(recipe, preprocessing))


def enough_pixels(recipe: Recipe, preprocessing: ImagePreprocessing) -> int:
    """The side that a picture is decoded to at least, for its smallest view."""
    return math.ceil(preprocessing.size / math.sqrt(recipe.training.augment.smallest))


def _view(recipe: Recipe, preprocessing: ImagePreprocessing) -> "_View":
    size, mean, std, augment = preprocessing.size, preprocessing.mean, preprocessing.std, recipe.training.augment
    return _View(size, mean, std, augment.smallest, augment.flip, augment.rotate, augment.jitter)


@dataclass(frozen=True)
class _View:
    """A random view as a tensor; a class and not a closure so that worker processes can be handed it."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    smallest: float
    flip: bool
    rotate: float
    jitter: float

    def __call__(self, image, draw: torch.Generator) -> Tensor:
        seen = random_view(
            image, self.size, draw, smallest=self.smallest, flip=self.flip, rotate=self.rotate, jitter=self.jitter
        )
        return to_tensor(seen, self.mean, self.std)


def _texts(encoder: Encoder, captions: Sequence[Sequence[str]], left_out: float, *, fit: bool) -> Part:
    distinct = list(dict.fromkeys(text for texts in captions for text in texts))
    features_MF = encoder.tower_texts(distinct)
    if features_MF is None:
        return Captions(captions, encoder.tokenizer, left_out=left_out)
    if fit:
        encoder.model.text_head.fit_inputs(features_MF)
    place = {text: number for number, text in enumerate(distinct)}
    return CachedTexts(features_MF, [[place[text] for text in texts] for texts in captions])


def _mean_lengths(encoder: Encoder, captions: Sequence[Sequence[str]]) -> list[float]:
    """Tokens of a row's captions in the mean, since one of them is drawn each time."""
    most = encoder.tokenizer.context_length
    return [mean(min(length, most) for length in encoder.tokenizer.lengths(texts)) for texts in captions]


def _with_classes(encoder: Encoder, features_VNF: Tensor) -> tuple[Tensor, list[tuple[str, ...]]]:
    """The features with a stand-in for each class of the classifier behind them, and what is said of the classes."""
    stand_in_KF = class_stand_ins(encoder.model.image_tower, features_VNF[0])
    repeated = stand_in_KF.expand(len(features_VNF), *stand_in_KF.shape)
    return torch.cat([features_VNF, repeated], dim=1), class_texts(len(stand_in_KF))


def limited(table: Table, limit: int) -> Table:
    """The first `limit` rows, or all when it is 0."""
    return replace(table, rows=table.rows[:limit]) if limit else table
