"""A dual encoder over data: rows or texts in, unit vectors out, in batches, whatever of it is frozen.

N pictures · M texts · D width of the joint space
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from amodal.core.devices import on_every_core
from amodal.core.progress import progress
from amodal.data.batches import readable_pictures
from amodal.data.rows import Row, SkipLog
from amodal.data.tokenizers import WordsToIds
from amodal.data.transforms import to_tensor
from amodal.features.cache import FeatureCache
from amodal.features.extract import (
    image_features,
    image_name,
    pictures_a_batch,
    prepare_view,
    text_features,
    text_name,
    texts_a_batch,
)
from amodal.features.parts import pooled_tokens
from amodal.models import DualEncoder
from amodal.towers import ImagePreprocessing, OwnPreparation, fingerprint, folded

ROWS_A_HEAD = 4096


def is_frozen(tower: nn.Module) -> bool:
    """Whether training leaves the tower as it is, so that what it says may be kept."""
    return not any(parameter.requires_grad for parameter in tower.parameters())


Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Encoder:
    """A model with what it needs to read pictures and words.

    cache: where frozen towers' features are kept. It is asked by the names that the towers had when they were first
    run: make a new Encoder after changing a frozen tower.
    """

    model: DualEncoder
    tokenizer: WordsToIds
    cache: FeatureCache | None
    device: torch.device
    views: tuple[int, ...] = (0,)

    def tower_images(self, rows: Sequence[Row], skipped: SkipLog) -> tuple[Tensor, list[int]] | None:
        """Cached features of a frozen image tower, (V, N, F), and the readable rows; None for one that is trained."""
        if self.cache is None or not is_frozen(self.model.image_tower):
            return None
        return image_features(
            lambda: _settled(self.model.image_tower) if self._faster_tower is None else self._faster_tower,
            rows,
            name=self._image_name,
            views=self.views,
            cache=self.cache,
            skipped=skipped,
            device=self.device,
        )

    def tower_texts(self, texts: Sequence[str]) -> Tensor | None:
        """Cached features of a frozen text tower, (M, F); None for one that is trained."""
        if self.cache is None or not is_frozen(self.model.text_tower):
            return None
        tower = _settled(self.model.text_tower)
        return text_features(tower, self.tokenizer, texts, name=self._text_name, cache=self.cache, device=self.device)

    @torch.inference_mode()
    def images(self, rows: Sequence[Row], skipped: SkipLog) -> tuple[np.ndarray, list[int]]:
        """Unit vectors (N, D) of the readable pictures, and which rows these are."""
        known = self.tower_images(rows, skipped)
        if known is not None:
            features_VNF, kept = known
            return (self.head_images(features_VNF) if kept else np.empty((0, 0), np.float32)), kept
        preprocessing: ImagePreprocessing | OwnPreparation = self.model.image_tower.preprocessing
        size, kept = pictures_a_batch(self.device), []

        def prepared() -> Iterator[list[Tensor]]:
            for start in range(0, len(rows), size):
                pixels = []
                for place, image in readable_pictures(rows[start : start + size], preprocessing.size, skipped):
                    pixels.append(prepare_view(image, preprocessing, 0))
                    kept.append(start + place)
                yield pixels

        return self._in_batches(prepared(), len(rows)), kept

    def fitted(self, fitted: Sequence[Tensor]) -> np.ndarray:
        """Unit vectors of pictures as `fit_picture` makes them for the image tower. -> (N, D)"""
        mean, std = self.model.image_tower.preprocessing.mean, self.model.image_tower.preprocessing.std
        size = pictures_a_batch(self.device)
        prepared = (
            [to_tensor(x, mean, std) for x in fitted[start : start + size]] for start in range(0, len(fitted), size)
        )
        return self._in_batches(prepared, len(fitted))

    def _in_batches(self, prepared: Iterable[list[Tensor]], count: int) -> np.ndarray:
        """Unit vectors of the prepared pictures of each batch, of which some may be empty. -> (N, D)"""
        size, vectors = pictures_a_batch(self.device), []
        done = on_every_core(lambda pixels: self.pixels(torch.stack(pixels)) if pixels else None, prepared, self.device)
        with progress("Pictures", count, "pictures") as bar:
            for start, found in zip(range(0, count, size), done, strict=True):
                if found is not None:
                    vectors.append(found)
                bar.update(min(size, count - start))
        return np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)

    @torch.inference_mode()
    def head_images(self, features_VNF: Tensor) -> np.ndarray:
        """Unit vectors of cached features: the mean over the views, made unit length again. -> (N, D)"""
        _settled(self.model)
        views = [
            _in_blocks(lambda part: self.model.encode_image(pooled_tokens(part)), x, self.device) for x in features_VNF
        ]
        mean_ND = np.mean(views, axis=0)
        return mean_ND / np.linalg.norm(mean_ND, axis=1, keepdims=True).clip(1e-12)

    @torch.inference_mode()
    def pixels(self, pixels: Tensor) -> np.ndarray:
        """Unit vectors of prepared pixels (N, 3, H, W). -> (N, D)"""
        inputs = pixels.to(self.device).contiguous(memory_format=torch.channels_last)
        image = inputs if self._faster_tower is None else self._faster_tower(inputs)
        return _settled(self.model).encode_image(image).float().cpu().numpy()

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts, each distinct one computed once. -> (M, D)"""
        _settled(self.model)
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        known = self.tower_texts(distinct)
        if known is not None:
            vectors = self.head_texts(known)
        else:
            size = texts_a_batch(self.device)
            parts = [distinct[start : start + size] for start in range(0, len(distinct), size)]
            vectors = np.concatenate([self._read(part) for part in parts]) if parts else np.empty((0, 0), np.float32)
        place = {text: number for number, text in enumerate(distinct)}
        return vectors[[place[text] for text in texts]]

    @torch.inference_mode()
    def head_texts(self, features_MF: Tensor) -> np.ndarray:
        """Unit vectors of cached text features (M, F). -> (M, D)"""
        _settled(self.model)
        return _in_blocks(lambda part: self.model.encode_text(pooled_tokens(part)), features_MF, self.device)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that decides a vector: both towers, the heads, preprocessing and tokenizer."""
        image, text = self.model.image_tower, self.model.text_tower
        kinds = (type(image).__name__, image.extra_repr(), type(text).__name__, text.extra_repr())
        return fingerprint(self.model, *kinds, image.preprocessing, self.tokenizer.fingerprint())

    @cached_property
    def _faster_tower(self) -> Any:
        """A faster copy of the image tower; None while it is trained or dealt out to several ranks, and where there is
        none."""
        tower = _settled(self.model.image_tower)
        if not is_frozen(tower) or any(hasattr(parameter, "placements") for parameter in tower.parameters()):
            return None
        side = tower.preprocessing.size or 256
        noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        probe = prepare_view(Image.fromarray(noise), tower.preprocessing, 0)
        faster = folded(tower, probe[None].to(self.device))
        return None if faster is tower else faster

    @cached_property
    def _image_name(self) -> str:
        return image_name(self.model.image_tower)

    @cached_property
    def _text_name(self) -> str:
        return text_name(self.model.text_tower, self.tokenizer)

    def _read(self, texts: list[str]) -> np.ndarray:
        ids, mask = self.tokenizer(texts)
        return self.model.encode_text((ids.to(self.device), mask.to(self.device))).float().cpu().numpy()


def _settled(module: Module) -> Module:
    """In evaluation; told to every part only where it is not, for that takes longer than to read a short text."""
    return module.eval() if module.training else module


def _in_blocks(head: Callable[[Tensor], Tensor], rows_NF: Tensor, device: torch.device) -> np.ndarray:
    if len(rows_NF) == 0:
        return np.empty((0, 0), np.float32)
    parts = [head(part.to(device)).float().cpu() for part in rows_NF.split(ROWS_A_HEAD)]
    return torch.cat(parts).numpy()
