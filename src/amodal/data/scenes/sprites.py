"""Bundled pictures scaled, turned and tinted, ready to be laid over a canvas. h, w: pixels; 4: RGB and alpha.

Colours are premultiplied by alpha, so that scaling mixes no colour of unseen pixels in.
"""

import io
import math
from functools import lru_cache

import numpy as np
from PIL import Image

from amodal.data.scenes.concepts import load_pool

COLOURS = ("red", "yellow", "green", "blue", "purple", "grey")
_DARK = ((90, 0, 8), (115, 80, 0), (0, 62, 12), (0, 22, 105), (58, 0, 92), (45, 45, 45))
_LIGHT = ((255, 105, 95), (255, 240, 80), (110, 235, 110), (105, 170, 255), (215, 125, 255), (205, 205, 205))
_LUMA = (0.299, 0.587, 0.114)
SOLID = 128
"""A pixel of at least this alpha belongs to the thing's mask."""


def _tint_matrix(dark: tuple[int, ...], light: tuple[int, ...]) -> np.ndarray:
    """(4, 4): premultiplied RGBA to the shades from `dark` to `light`, by luminance."""
    matrix = np.zeros((4, 4), dtype=np.float32)
    for channel in range(3):
        matrix[:3, channel] = np.array(_LUMA) * (light[channel] - dark[channel]) / 255
        matrix[3, channel] = dark[channel] / 255
    matrix[3, 3] = 1
    return matrix


_TINTS = {colour: _tint_matrix(*shades) for colour, *shades in zip(COLOURS, _DARK, _LIGHT, strict=True)}


def sprite(concept: int, style: str, side: float, angle: float) -> np.ndarray:
    """The picture with `side` pixels to a side before turning by `angle` degrees, cut to its solid part. -> (h, w, 4)

    Each edge of the result touches a pixel of alpha `SOLID` or more.
    """
    levels = _levels(concept, style)
    level = levels[0]
    for smaller in levels[1:]:
        if smaller.width < side:
            break
        level = smaller
    turn = math.radians(angle)
    cos, sin = math.cos(turn), math.sin(turn)
    size = math.ceil(side * (abs(cos) + abs(sin)))
    scale, middle, source = level.width / side, size / 2, level.width / 2
    a, b = cos * scale, sin * scale
    data = (a, b, source - (a + b) * middle, -b, a, source - (a - b) * middle)
    pixels = np.asarray(level.transform((size, size), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR))
    top, bottom, left, right = bounds(pixels[:, :, 3] >= SOLID)
    return pixels[top:bottom, left:right]


def tinted(pixels: np.ndarray, colour: str) -> np.ndarray:
    """A sprite in shades of one of `COLOURS`; "" leaves it as it is. -> (h, w, 4)"""
    return (pixels @ _TINTS[colour] + np.float32(0.5)).astype(np.uint8) if colour else pixels


def bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a mask with at least one true pixel; the ends are one past the last."""
    rows, columns = np.asarray(mask.any(axis=1)), np.asarray(mask.any(axis=0))
    top, left = int(rows.argmax()), int(columns.argmax())
    return top, len(rows) - int(rows[::-1].argmax()), left, len(columns) - int(columns[::-1].argmax())


@lru_cache(maxsize=4096)
def _levels(concept: int, style: str) -> tuple[Image.Image, ...]:
    """The picture with premultiplied colours at its own size, a half and a quarter of it."""
    whole = Image.open(io.BytesIO(load_pool().pictures[concept][style])).convert("RGBA").convert("RGBa")
    return whole, whole.reduce(2), whole.reduce(4)
