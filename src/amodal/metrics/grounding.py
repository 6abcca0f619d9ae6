"""Where a map or a box says that something is, against where it is.

H W rows and columns of a map · a box is (left, top, right, bottom), right and bottom one past the last
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Box = tuple[int, int, int, int]


class Erased(NamedTuple):
    """deletion: lower is better; insertion: higher is better; of scores from 0 to 1 both are shares."""

    deletion: float
    insertion: float


def pointed(map_HW: np.ndarray, true_HW: np.ndarray) -> float:
    """Whether the place with the highest value is one of the true ones: 1, 0, or of tied places the share that is.

    The pointing game (Zhang et al. 2018); a map that is the same everywhere gets what chance would, the true share.
    """
    return float(true_HW[map_HW == map_HW.max()].mean())


def mask_iou(one_HW: np.ndarray, other_HW: np.ndarray) -> float:
    """Intersection over union of two sets of places; 0 when both are empty."""
    union = np.logical_or(one_HW, other_HW).sum()
    return float(np.logical_and(one_HW, other_HW).sum() / union) if union else 0.0


def box_iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes; 0 for those that do not meet."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (_area(one) + _area(other) - width * height)


def box_around_peak(map_HW: np.ndarray, level: float) -> Box:
    """The box around the places above `level` that hang together with the highest one by their sides (the highest alone
    when none is)."""
    above = map_HW > level
    start = divmod(int(map_HW.argmax()), map_HW.shape[1])
    seen, waiting = {start}, [start]
    while waiting:
        row, column = waiting.pop()
        for next_row, next_column in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            inside = 0 <= next_row < above.shape[0] and 0 <= next_column < above.shape[1]
            if inside and above[next_row, next_column] and (next_row, next_column) not in seen:
                seen.add((next_row, next_column))
                waiting.append((next_row, next_column))
    rows, columns = zip(*seen, strict=True)
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


def deletion_insertion(score: Callable[[np.ndarray], np.ndarray], map_GG: np.ndarray, steps: int = 8) -> Erased:
    """How a score falls while the places of a map are taken away, the highest first, and rises while they come back
    (Petsiuk et al. 2018). -> Erased

    score: of pictures in which only some places are left, given as (K, G, G) bool, -> (K,). Both are means over the
    curve (trapezoids over the share of places); a map that tells nothing gets the same for both, in the mean over maps.
    Places of equal value go in the order of the grid. Raises ValueError for fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"a curve of {steps} steps has no area; give at least 1")
    order = np.argsort(-map_GG, axis=None, kind="stable")
    counts = np.linspace(0, map_GG.size, steps + 1).round().astype(int)
    left_KP = np.ones((steps + 1, map_GG.size), bool)
    for row, count in enumerate(counts):
        left_KP[row, order[:count]] = False
    left_KGG = left_KP.reshape(-1, *map_GG.shape)
    share_K = counts / map_GG.size
    return Erased(*(_area_under(score(kept_KGG), share_K) for kept_KGG in (left_KGG, ~left_KGG)))


def grid_ceiling(true_HW: np.ndarray, side: int) -> float:
    """The highest intersection over union that any set of cells of a side x side grid has with these places.

    The best set are the cells that are covered most: taken in that order, one of them is the last that pays.
    """
    edges = [np.arange(side) * length // side for length in true_HW.shape]
    covered, whole = (
        np.add.reduceat(np.add.reduceat(x.astype(float), edges[0], axis=0), edges[1], axis=1).ravel()
        for x in (true_HW, np.ones_like(true_HW))
    )
    order = np.argsort(-covered / whole, kind="stable")
    hit, taken = covered[order].cumsum(), whole[order].cumsum()
    return float((hit / (taken + true_HW.sum() - hit)).max()) if true_HW.any() else 0.0


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _area_under(value_K: np.ndarray, at_K: np.ndarray) -> float:
    """By trapezoids."""
    return float(((value_K[1:] + value_K[:-1]) / 2) @ np.diff(at_K))
