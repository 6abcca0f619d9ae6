"""What a scene teaches about words: which fit it, what a question is answered with, and where each word's things are.

L tokens · P places, row by row of a grid over the canvas
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from amodal.data.scenes.grammar import grammar
from amodal.data.scenes.scene import Caption, Question, Scene
from amodal.data.scenes.sprites import COLOURS
from amodal.data.scenes.statements import CHANGES, Change

FIRST, SECOND = "the first", "the second"
"""Answers that point to one of the two things that a question names: names have no end, places in a question do."""


class Trial(NamedTuple):
    """A true caption and a false one that differs from it by `change`."""

    change: Change
    true: Caption
    false: Caption


def trials(scene: Scene) -> list[Trial]:
    """One trial a change, where the scene allows it; of the object it changes the caption that was told least."""
    first: dict[Change, Trial] = {}
    used: list[int] = []
    for change in CHANGES:
        found = [false for false in scene.falsehoods if false.change == change]
        found.sort(key=lambda false: used.count(false.of))
        if found:
            used.append(found[0].of)
            first[change] = Trial(change, scene.captions[found[0].of], found[0].caption)
    return list(first.values())


def answer_list(grammar_of: str, language: str) -> tuple[str, ...]:
    """Every answer that there is, in the words of a grammar."""
    said = grammar(grammar_of, language)
    return (*said.yes_no, *map(str, range(1, 5)), *(said.colours[colour] for colour in COLOURS), FIRST, SECOND)


def pointed_answer(question: Question) -> str:
    """The answer as one of `answer_list`: of two things that are named the first or the second."""
    return (FIRST, SECOND)[int(question.asked.answer)] if question.kind == "which is left of" else question.answer


def word_links(said: Caption | Question, spans: Sequence[tuple[int, int]]) -> list[tuple[int, tuple[int, ...]]]:
    """Tokens that mean things, each with their places in `Scene.things`; none for things that are not there.

    spans: the characters of each token, (0, 0) for one that stands for none.
    """
    return [
        (token, link.things)
        for link in said.words
        for token, (start, end) in enumerate(spans)
        if start < end and start < link.end and end > link.start
    ]


def scene_covers(scene: Scene, side: int, *, boxes: bool = False) -> np.ndarray:
    """The share of each place that each thing covers, or that its box does. -> (N, P)"""
    masks = _filled_boxes(scene) if boxes else scene.masks
    edges = np.arange(side) * scene.size // side
    summed = np.add.reduceat(np.add.reduceat(masks.astype(np.float32), edges, axis=1), edges, axis=2)
    return summed.reshape(len(scene.things), -1) * (side / scene.size) ** 2


def scene_centres(scene: Scene, side: int) -> np.ndarray:
    """The centre of each thing's box: one, shared out among the four nearest places (bilinear). -> (N, P)"""
    return np.stack([_shared_out(thing.box, scene.size, side) for thing in scene.things])


def _filled_boxes(scene: Scene) -> np.ndarray:
    masks = np.zeros_like(scene.masks)
    for mask, thing in zip(masks, scene.things, strict=True):
        left, top, right, bottom = thing.box
        mask[top:bottom, left:right] = True
    return masks


def _shared_out(box: tuple[int, int, int, int], size: int, side: int) -> np.ndarray:
    """One, shared out among the four places nearest to the centre of the box (bilinear). -> (P,)"""
    x, y = ((box[axis] + box[axis + 2]) / 2 * side / size - 0.5 for axis in (0, 1))
    place = np.zeros((side, side), np.float32)
    for row, row_share in _two_nearest(y, side):
        for column, column_share in _two_nearest(x, side):
            place[row, column] += row_share * column_share
    return place.ravel()


def _two_nearest(at: float, side: int) -> tuple[tuple[int, float], tuple[int, float]]:
    low = int(np.floor(at))
    share = at - low
    return (min(max(low, 0), side - 1), 1 - share), (min(max(low + 1, 0), side - 1), share)
