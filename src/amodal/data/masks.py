"""Masks as COCO publishes them, polygons or run lengths, and their pixels, equal to those of its own tools.

H height · W width of the picture; runs go down the columns, unset pixels first
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from amodal.core.errors import DataError

_FINER = 5  # COCO draws outlines on a grid so many times finer


class BadAnnotation(DataError):
    """An annotation that cannot be used. Says the kind of reason, then ": " and the detail."""


class Mask(NamedTuple):
    """Which pixels of a picture belong to a thing. size: (H, W); polygons: outlines x, y, x, y ... whose union it is;
    runs: lengths of runs, in place of polygons."""

    size: tuple[int, int]
    polygons: tuple[tuple[float, ...], ...] = ()
    runs: tuple[int, ...] = ()

    def pixels(self) -> np.ndarray:
        """-> (H, W) bool"""
        height, width = self.size
        if self.runs:
            flat = np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs)
        else:
            flat = np.zeros(height * width, dtype=bool)
            for polygon in self.polygons:
                flat |= _inside(np.reshape(polygon, (-1, 2)), height, width)
        return flat.reshape(self.size, order="F")


def read_mask(segmentation: Any, size: tuple[int, int]) -> Mask:
    """COCO's `segmentation`: a list of polygons, or `{"counts", "size"}` with counts as a list or as its string.

    size: (H, W) of the picture. Raises BadAnnotation.
    """
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        runs = _uncompressed(counts) if isinstance(counts, str) else tuple(int(count) for count in counts)
        if tuple(segmentation["size"]) != size or sum(runs) != size[0] * size[1] or min(runs) < 0:
            raise BadAnnotation(
                f"unusable mask: runs of {sum(runs)} pixels, size {segmentation['size']}; the picture has {list(size)}"
            )
        return Mask(size, runs=runs)
    polygons = tuple(tuple(float(value) for value in polygon) for polygon in segmentation)
    if not polygons or any(
        len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all() for polygon in polygons
    ):
        raise BadAnnotation("unusable mask: a polygon needs three points or more, as x, y, x, y ...")
    return Mask(size, polygons=polygons)


def _uncompressed(text: str) -> tuple[int, ...]:
    """COCO's string of run lengths: five bits a letter, low ones first, the sixth for "goes on"; from the fourth on,
    the difference to the run before the last."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise BadAnnotation(f"unusable mask: {letter!r} is no letter of compressed run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)  # the last letter holds the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift or not runs:
        raise BadAnnotation("unusable mask: the compressed run lengths are cut short")
    return tuple(runs)


def _inside(corner_K2: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels in a polygon, column after column. -> (H W,) bool

    As COCO's `rleFrPoly`, so that areas agree with published ones: the outline is walked on the finer grid, and where
    it enters another column of pixels it turns everything after that place about.
    """
    corners = np.trunc(_FINER * corner_K2 + 0.5).astype(np.int64)
    walked = np.concatenate([_line(a, b) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)])
    before, after = walked[:-1], walked[1:]
    moved = before[:, 0] != after[:, 0]
    before, after = before[moved], after[moved]
    x = (np.minimum(before[:, 0], after[:, 0]) + 0.5) / _FINER - 0.5
    y = (np.minimum(before[:, 1], after[:, 1]) + 0.5) / _FINER - 0.5
    crossed = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    row = np.ceil(np.clip(y[crossed], 0, height)).astype(np.int64)
    turns = np.bincount(x[crossed].astype(np.int64) * height + row, minlength=height * width + 1)
    return np.cumsum(turns[: height * width]) % 2 == 1


def _line(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Points from corner to corner, one a step of the longer axis, both ends included. -> (S, 2) int

    Rounded from the end with the lesser coordinate, whichever way the line is walked.
    """
    away = np.abs(end - start)
    long = 0 if away[0] >= away[1] else 1
    turned = start[long] > end[long]
    low, high = (end, start) if turned else (start, end)
    steps = np.arange(away[long] + 1)
    slope = (high[1 - long] - low[1 - long]) / max(int(away[long]), 1)
    points = np.empty((len(steps), 2), dtype=np.int64)
    points[:, long] = low[long] + steps
    points[:, 1 - long] = np.trunc(low[1 - long] + slope * steps + 0.5).astype(np.int64)
    return points[::-1] if turned else points


def corner_box(
    left: float, top: float, width: float, height: float, size: Sequence[int] | None = None
) -> tuple[float, float, float, float]:
    """(left, top, right, bottom), right and bottom one past the last, of a corner and lengths.

    size: (H, W) of the picture, beyond which nothing is kept. Raises BadAnnotation for a box that holds nothing.
    """
    box = (float(left), float(top), float(left) + width, float(top) + height)
    if size is not None:
        box = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(size[1])), min(box[3], float(size[0])))
    if not (np.isfinite(box).all() and box[0] < box[2] and box[1] < box[3]):
        raise BadAnnotation(f"empty box: {left}, {top}, {width} wide and {height} high")
    return box
