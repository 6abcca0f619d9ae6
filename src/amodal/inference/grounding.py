"""Where in a picture the words of a sentence are: whether it fits, a box a phrase, a heat map a word.

G G places of the model's grid · L tokens · P places
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from amodal.core.errors import UsageError
from amodal.evaluation.grounding import enlarged, level
from amodal.inference.opened import Picture, opened
from amodal.metrics import Box, box_around_peak
from amodal.models import Reader, ReadFeatures
from amodal.recipes import SceneSource
from amodal.recipes.scene_data import Towers

FINE = 128
"""Pixels to a side of the map in which boxes are looked for."""


@dataclass(frozen=True, kw_only=True)
class GroundedWord:
    """A word of the sentence. start, end: its characters; means: the chance that it means things at all; map_GG: at
    each place of the grid, the chance that what it means is seen there."""

    text: str
    start: int
    end: int
    means: float
    map_GG: np.ndarray


@dataclass(frozen=True, kw_only=True)
class GroundedPhrase:
    """Neighbouring words that mean things. box: in pixels of the picture, around the strongest part of their map;
    probability: the chance of being there, at its strongest place."""

    text: str
    start: int
    end: int
    box: Box
    probability: float


@dataclass(frozen=True, kw_only=True)
class Grounding:
    """A picture and a sentence. probability: that the sentence fits, None for a model that learnt no matching."""

    sentence: str
    size: tuple[int, int]
    probability: float | None
    phrases: tuple[GroundedPhrase, ...]
    words: tuple[GroundedWord, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values; boxes in pixels, maps as rows of the grid, places rounded to 4 digits."""
        phrases = [{**vars(phrase), "box": list(phrase.box)} for phrase in self.phrases]
        words = [{**vars(word), "map": word.map_GG.round(4).tolist()} for word in self.words]
        for word in words:
            del word["map_GG"]
        told = {"sentence": self.sentence, "size": list(self.size), "probability": self.probability}
        return {**told, "phrases": phrases, "words": words}


@dataclass(frozen=True)
class _Said:
    """What a reader made of one sentence; spans: the characters of each token."""

    sentence: str
    spans: Sequence[tuple[int, int]]
    features: ReadFeatures
    grid: tuple[int, int]

    def text(self, tokens: Sequence[int]) -> dict[str, Any]:
        start, end = self.spans[tokens[0]][0], self.spans[tokens[-1]][1]
        return {"text": self.sentence[start:end], "start": start, "end": end}

    def map_GG(self, tokens: Sequence[int]) -> np.ndarray:
        """Log-odds."""
        return self.features.phrase(0, tokens, self.grid).float().cpu().numpy()


@torch.inference_mode()
def grounded(model: Reader, source: SceneSource, picture: Picture, sentence: str) -> Grounding:
    """See `FusedModel.ground`."""
    towers = source.towers
    (spans,) = towers.tokenizer.spans([sentence])
    words = _words(sentence, spans)
    _check(towers, sentence, words)
    shown = opened(picture, 0)
    size = shown.size
    found = model(towers.batch([shown], [sentence], [0]))
    said = _Said(sentence, spans, found, model.grid)
    told = [_word(said, tokens) for tokens in words]
    phrases = []
    for run in _runs([word.means > 0.5 for word in told]):
        phrases.append(_phrase(said, [token for number in run for token in words[number]], size))
    fits = found.fit_B.sigmoid().item() if source.recipe.task.name == "matching" else None
    return Grounding(sentence=sentence, size=size, probability=fits, phrases=tuple(phrases), words=tuple(told))


def _check(towers: Towers, sentence: str, words: Sequence[Sequence[int]]) -> None:
    if not words:
        raise UsageError("the sentence has no word to look for; give one, as in 'a cat left of a dog'")
    (length,), most = towers.tokenizer.lengths([sentence]), towers.tokenizer.context_length
    if length > most:
        raise UsageError(f"the sentence has {length} tokens and {most} are read; give a shorter one")


def _words(sentence: str, spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Tokens of each word: pieces that no space parts; punctuation is no word."""
    words: list[list[int]] = []
    last = -1
    for token, (start, end) in enumerate(spans):
        if start == end or not re.search(r"\w", sentence[start:end]):
            last = -1
            continue
        if start == last:
            words[-1].append(token)
        else:
            words.append([token])
        last = end
    return words


def _runs(wanted: Sequence[bool]) -> list[list[int]]:
    """Numbers of neighbours that are all wanted."""
    runs: list[list[int]] = []
    for number, each in enumerate(wanted):
        if each and number and wanted[number - 1]:
            runs[-1].append(number)
        elif each:
            runs.append([number])
    return runs


def _word(said: _Said, tokens: Sequence[int]) -> GroundedWord:
    means = said.features.means_BL[0, list(tokens)].sigmoid().max().item()
    return GroundedWord(**said.text(tokens), means=means, map_GG=_chance(said.map_GG(tokens)))


def _phrase(said: _Said, tokens: Sequence[int], size: tuple[int, int]) -> GroundedPhrase:
    map_GG = said.map_GG(tokens)
    fine = enlarged(map_GG, (FINE, FINE))
    left, top, right, bottom = box_around_peak(fine, level(fine))
    x, y = size[0] / FINE, size[1] / FINE
    box = (round(left * x), round(top * y), round(right * x), round(bottom * y))
    return GroundedPhrase(**said.text(tokens), box=box, probability=float(_chance(map_GG).max()))


def _chance(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))
