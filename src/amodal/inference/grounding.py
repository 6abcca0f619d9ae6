"""Where in a picture the words of a sentence are: whether it fits, a box a phrase, a heat map a word.

G G places of the model's grid · L tokens · P places
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from amodal.core.batch import Batch
from amodal.core.errors import DataError, UsageError
from amodal.data.pictures import BrokenPicture
from amodal.evaluation.grounding import enlarged
from amodal.features import prepare_view
from amodal.inference.model import Picture, as_row
from amodal.metrics import Box, box_around_peak
from amodal.models import Reader
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


@torch.inference_mode()
def grounded(model: Reader, source: SceneSource, picture: Picture, sentence: str) -> Grounding:
    """See `FusedModel.ground`."""
    towers = source.towers
    (spans,) = towers.tokenizer.spans([sentence])
    words = _words(sentence, spans)
    _check(towers, sentence, words)
    row = as_row(picture, 0)
    try:
        image = row.picture.image(None)
    except BrokenPicture as error:
        raise DataError(f"{row.key}: {error}; mend it or give another") from error
    ids, mask = towers.tokenizer([sentence])
    pixels = prepare_view(image, towers.image.preprocessing, 0)[None]
    one = Batch(pair_id=torch.zeros(1, dtype=torch.int64), key=(row.key,), pixels=pixels, ids=ids, ids_mask=mask)
    found = model(one.to(towers.device))
    grid = towers.image.grid
    there_LGG = found.there_BLP[0, :, : math.prod(grid)].unflatten(1, grid).float().cpu()
    means_L = found.means_BL[0].sigmoid().float().cpu()
    told = [_word(sentence, tokens, spans, there_LGG, means_L) for tokens in words]
    phrases = []
    for run in _runs([word.means > 0.5 for word in told]):
        tokens = [token for number in run for token in words[number]]
        phrases.append(_phrase(sentence, tokens, spans, there_LGG, means_L, image.size))
    fits = found.fit_B.sigmoid().item() if source.recipe.task.name == "matching" else None
    return Grounding(sentence=sentence, size=image.size, probability=fits, phrases=tuple(phrases), words=tuple(told))


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


def _between(sentence: str, tokens: Sequence[int], spans: Sequence[tuple[int, int]]) -> dict[str, Any]:
    start, end = spans[tokens[0]][0], spans[tokens[-1]][1]
    return {"text": sentence[start:end], "start": start, "end": end}


def _map(tokens: Sequence[int], there_LGG: torch.Tensor, means_L: torch.Tensor) -> np.ndarray:
    """The mean log-odds of these tokens, each as far as it means things. -> (G, G)"""
    own = list(tokens)
    weight_L = means_L[own] / means_L[own].sum().clamp(min=1e-6)
    return torch.einsum("l,lgh->gh", weight_L, there_LGG[own]).numpy()


def _word(
    sentence: str,
    tokens: Sequence[int],
    spans: Sequence[tuple[int, int]],
    there_LGG: torch.Tensor,
    means_L: torch.Tensor,
) -> GroundedWord:
    map_GG = _chance(_map(tokens, there_LGG, means_L))
    return GroundedWord(**_between(sentence, tokens, spans), means=means_L[list(tokens)].max().item(), map_GG=map_GG)


def _phrase(
    sentence: str, tokens: Sequence[int], spans: Sequence[tuple[int, int]], there_LGG: torch.Tensor,
    means_L: torch.Tensor, size: tuple[int, int],
) -> GroundedPhrase:  # fmt: skip
    map_GG = _map(tokens, there_LGG, means_L)
    fine = enlarged(map_GG, (FINE, FINE))
    level = min(0.0, float(fine.max()) - 1.0)  # of what is nowhere above even odds, the strongest part
    left, top, right, bottom = box_around_peak(fine, level)
    x, y = size[0] / FINE, size[1] / FINE
    box = (round(left * x), round(top * y), round(right * x), round(bottom * y))
    probability = float(_chance(map_GG).max())
    return GroundedPhrase(**_between(sentence, tokens, spans), box=box, probability=probability)


def _chance(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))
