"""An encoder whose pictures and texts are computed together with those of other requests.

N pictures · M texts · D width of the joint space
"""

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from amodal.app.batching import Batching, Work
from amodal.core.devices import on_every_core
from amodal.data.pictures import BrokenPicture
from amodal.data.rows import Row, SkipLog
from amodal.features import Encoder, prepare_view
from amodal.features.extract import pictures_a_batch, texts_a_batch

Result = TypeVar("Result")

PICTURES_AT_ONCE = 32
"""Pictures that are joined into one go."""

REMEMBERED = 20_000
"""Vectors that are kept in memory, of pictures and texts that were asked for last."""


class Remembered:
    """The vectors that were asked for last, by name; any thread may ask."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self.most, self.found, self.missed = most, 0, 0
        self._vectors: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str) -> np.ndarray | None:
        """The vector, or None."""
        with self._lock:
            vector_D = self._vectors.get(name)
            if vector_D is None:
                self.missed += 1
                return None
            self.found += 1
            self._vectors.move_to_end(name)
            return vector_D

    def keep(self, name: str, vector_D: np.ndarray) -> None:
        """Keeps it in the place of the one that was not asked for the longest."""
        with self._lock:
            self._vectors[name] = vector_D
            while len(self._vectors) > self.most:
                self._vectors.popitem(last=False)


@dataclass(frozen=True)
class SharedEncoder(Encoder):
    """As the encoder it is made of, for any number of threads at once; nothing is written to a disk.

    batching: computes `pictures` (pixels), `texts`, and `calls` one by one; decoding: how many pictures are decoded at
    once.
    """

    batching: Batching = field(kw_only=True)
    remembered: Remembered = field(kw_only=True, default_factory=Remembered)
    decoding: threading.Semaphore = field(kw_only=True)

    def images(self, rows: Sequence[Row], skipped: SkipLog) -> tuple[np.ndarray, list[int]]:
        """See `Encoder.images`."""
        names, vectors, fresh = dict[int, str](), dict[str, np.ndarray](), dict[str, Tensor]()
        for place, row in enumerate(rows):
            try:
                name = hashlib.sha256(row.picture.content()).hexdigest()
                known = self.remembered.get(name)
                if known is not None:
                    vectors[name] = known
                elif name not in fresh:
                    fresh[name] = self._prepared(row)
            except BrokenPicture as error:
                skipped.add(row.key, str(error))
            else:
                names[place] = name
        for name, vector_D in zip(fresh, self.batching("pictures", list(fresh.values())), strict=True):
            self.remembered.keep(name, vector_D)
            vectors[name] = vector_D
        kept = list(names)
        return (np.stack([vectors[names[place]] for place in kept]) if kept else np.empty((0, 0), np.float32)), kept

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """See `Encoder.texts`."""
        asked = {text: self.remembered.get(f"text {text}") for text in dict.fromkeys(texts)}
        known = {text: vector_D for text, vector_D in asked.items() if vector_D is not None}
        fresh = [text for text in asked if text not in known]
        for text, vector_D in zip(fresh, self.batching("texts", fresh), strict=True):
            self.remembered.keep(f"text {text}", vector_D)
            known[text] = vector_D
        return np.stack([known[text] for text in texts])

    def alone(self, call: Callable[[], Result]) -> Result:
        """The result of a call, made in the thread that computes."""
        return self.batching("calls", [call])[0]

    def _prepared(self, row: Row) -> Tensor:
        preprocessing = self.model.image_tower.preprocessing
        with self.decoding:
            return prepare_view(row.picture.image(preprocessing.size), preprocessing, 0)


def shared(encoder: Encoder, told: Callable[[str, int], None] = lambda kind, size: None) -> SharedEncoder:
    """The encoder for many requests at once. told: see `Batching`."""
    plain = Encoder(encoder.model, encoder.tokenizer, None, encoder.device, encoder.views)
    threads = torch.get_num_threads()

    def pictures(pixels: list[Tensor]) -> list[np.ndarray]:
        size = min(pictures_a_batch(plain.device), math.ceil(len(pixels) / threads))
        parts = (torch.stack(pixels[start : start + size]) for start in range(0, len(pixels), size))
        return [vector_D for part in on_every_core(plain.pixels, parts, plain.device) for vector_D in part]

    works = {
        "pictures": Work(pictures, PICTURES_AT_ONCE),
        "texts": Work(lambda texts: list(plain.texts(texts)), texts_a_batch(plain.device)),
        "calls": Work(lambda calls: [call() for call in calls], 1),
    }
    return SharedEncoder(
        plain.model,
        plain.tokenizer,
        None,
        plain.device,
        plain.views,
        batching=Batching(works, told),
        decoding=threading.Semaphore(max(1, threads)),
    )
