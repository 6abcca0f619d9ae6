"""Whether what words say of places is true: pointing, boxes and masks of phrases.

H W pixels · G G places of a map
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from amodal.metrics import (
    Box,
    Figure,
    bootstrap_mean,
    box_around_peak,
    box_iou,
    grid_ceiling,
    mask_iou,
    pointed,
)

ENOUGH = 0.5
"""The intersection over union from which on a box counts as found."""
NEAR = 2.0
"""How far below its highest log-odds a map still means the same thing, where the odds are low everywhere, as they are
for things that training never showed. Chosen on validation scenes (docs/diary.md)."""


class Located(NamedTuple):
    """A phrase about a picture. map_GG: log-odds of what it means being at each place; mask_HW: the pixels that it
    means, bool; boxes: of each of its things; picture: its number, phrases of one are no independent evidence."""

    map_GG: np.ndarray
    mask_HW: np.ndarray
    boxes: Sequence[Box]
    picture: int


def grounding(phrases: Sequence[Located]) -> dict[str, Figure]:
    """`grounding/` pointing, R@1 and iou, and as iou_ceiling the best that cells of the map's size could have.

    pointing: the highest pixel of the map, interpolated to the picture, lies in the box of one of the things; chance is
    the share of the picture that the boxes cover. R@1: the box around the part of the map above its `level` that holds
    its highest pixel has an intersection over union of 0.5 with one of them; chance is what the whole picture as the
    box would get. iou: of the pixels above that level with those the phrase means; chance is that of all pixels.
    Intervals resample pictures. Raises ValueError when there is no phrase.
    """
    groups = np.array([phrase.picture for phrase in phrases])
    figures = {}
    for name, value, chance in _measured(phrases):
        mean, low, high = bootstrap_mean(value, groups=groups)
        by_chance = None if chance is None else float(np.mean(chance))
        figures[f"grounding/{name}"] = Figure(value=mean, low=low, high=high, chance=by_chance, n=len(set(groups)))
    return figures


def phrase_scores(phrases: Sequence[Located]) -> dict[str, np.ndarray]:
    """What `grounding` takes the means of: pointing, R@1, iou and iou_ceiling of each phrase. -> (N,) each"""
    return {name: value for name, value, _ in _measured(phrases)}


def level(map_HW: np.ndarray) -> float:
    """The log-odds above which something is there: even odds, or of what is nowhere so likely `NEAR` its highest."""
    return min(0.0, float(map_HW.max()) - NEAR)


def enlarged(map_GG: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map interpolated to the pixels of a picture (bilinear). -> (H, W)"""
    map_11GG = torch.from_numpy(np.asarray(map_GG, np.float32))[None, None]
    return F.interpolate(map_11GG, size, mode="bilinear", align_corners=False)[0, 0].numpy()


def _measured(phrases: Sequence[Located]) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
    rows = []
    for phrase in phrases:
        height, width = phrase.mask_HW.shape
        map_HW, in_box_HW = enlarged(phrase.map_GG, (height, width)), np.zeros((height, width), bool)
        for left, top, right, bottom in phrase.boxes:
            in_box_HW[top:bottom, left:right] = True
        least = level(map_HW)
        box, whole = box_around_peak(map_HW, least), (0, 0, width, height)
        right = [max(box_iou(said, true) for true in phrase.boxes) >= ENOUGH for said in (box, whole)]
        iou, all_of_it = mask_iou(map_HW > least, phrase.mask_HW), phrase.mask_HW.mean()
        ceiling = grid_ceiling(phrase.mask_HW, len(phrase.map_GG))
        rows.append((pointed(map_HW, in_box_HW), in_box_HW.mean(), *right, iou, all_of_it, ceiling))
    point, by_box, hit, by_whole, iou, by_all, ceiling = np.array(rows, dtype=float).reshape(-1, 7).T
    return [("pointing", point, by_box), ("R@1", hit, by_whole), ("iou", iou, by_all), ("iou_ceiling", ceiling, None)]
