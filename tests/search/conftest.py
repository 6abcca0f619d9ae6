"""A library of coloured squares, and a model of a few lines that knows colours: no network, no torch."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from amodal.data.pictures import BrokenPicture
from amodal.data.rows import Row, SkipLog
from amodal.search import Embedder, Index, Settings, Updated, update

COLOURS = {"red": (230, 30, 30), "green": (30, 160, 60), "blue": (30, 60, 230), "yellow": (240, 220, 40)}


@dataclass
class Colours:
    """A model: a picture's vector is its mean colour, a text's that of the colours it names. asked: what it read."""

    name: str = "colours"
    fingerprint: str = "f" * 64
    revision: str = "r1"
    languages: tuple[str, ...] = ("en",)
    asked: list[str] = field(default_factory=list)
    calibration: Any = None

    def embedder(self, settings: Settings | None = None) -> Embedder:
        return Embedder(
            name=self.name,
            source="",
            revision=self.revision,
            fingerprint=self.fingerprint,
            dimension=8,
            images=self.images,
            texts=self.texts,
            languages=self.languages,
            calibration=self.calibration,
        )

    def images(self, rows: Sequence[Row], skipped: SkipLog) -> tuple[np.ndarray, list[int]]:
        vectors, kept = [], []
        for place, row in enumerate(rows):
            try:
                pixels = np.asarray(row.picture.image(32), np.float64)
            except BrokenPicture as error:
                skipped.add(row.key, str(error))
                continue
            self.asked.append(row.key)
            vectors.append(self._unit(pixels.mean(axis=(0, 1))))
            kept.append(place)
        return np.array(vectors, np.float32).reshape(len(kept), 8), kept

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        named = [[COLOURS[word] for word in text.split() if word in COLOURS] or [(128, 128, 128)] for text in texts]
        return np.array([self._unit(np.mean(colours, axis=0)) for colours in named], np.float32)

    @staticmethod
    def _unit(colour: np.ndarray) -> np.ndarray:
        vector = np.zeros(8)
        vector[:3], vector[3] = np.asarray(colour) / 128 - 1, 0.1
        return vector / np.linalg.norm(vector)


@dataclass
class Library:
    """A folder of pictures, its index and the model: what a test does to them in a line."""

    folder: Path
    where: Any
    model: Colours = field(default_factory=Colours)
    said: list[str] = field(default_factory=list)

    def draw(self, name: str, colour: str | tuple[int, ...], seed: int = 0, **saved: Any) -> Path:
        """A picture of one colour, with seeded shapes of a darker one, so that no two look alike."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw, shade = np.random.default_rng(zlib.crc32(f"{name}{seed}".encode())), COLOURS.get(str(colour), colour)
        coarse = np.kron(draw.uniform(0.6, 1.0, (6, 6)), np.ones((16, 16)))[..., None]
        Image.fromarray((coarse * np.array(shade)).astype(np.uint8)).save(path, **saved)
        return path

    def update(self, **options: Any) -> Updated:
        options = {"revision": self.model.revision, "say": self.said.append, **options}
        source = str(options.pop("source", self.folder))
        return update(str(self.where), source, self.model.embedder, **options)

    def index(self) -> Index:
        return Index(str(self.where), self.model.embedder)

    def names(self, *query: Any, **options: Any) -> list[str]:
        """The files found, by name."""
        found = self.index().search(list(query), **{"top": 100, **options})
        return [Path(result.path).name for result in found]

    def never(self) -> Embedder:
        raise AssertionError("the model was opened though nothing had to be embedded")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Twelve pictures, three of each colour: red/0.png, red/1.png ..."""
    made = Library(tmp_path / "photos", tmp_path / "photos.index")
    for colour in COLOURS:
        for number in range(3):
            made.draw(f"{number}-{colour}.png" if number == 0 else f"more/{number}-{colour}.png", colour)
    return made
