"""Bundled pictures scaled, turned and tinted, ready to be laid over a canvas. h, w: pixels.

Colours are premultiplied by alpha, so that scaling mixes no colour of unseen pixels in.
"""

import io
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from amodal.data.scenes.concepts import load_pool

COLOURS = ("red", "yellow", "green", "blue", "purple", "grey")
_DARK = ((90, 0, 8), (115, 80, 0), (0, 62, 12), (0, 22, 105), (58, 0, 92), (45, 45, 45))
_LIGHT = ((255, 105, 95), (255, 240, 80), (110, 235, 110), (105, 170, 255), (215, 125, 255), (205, 205, 205))
_LUMA = (0.299, 0.587, 0.114)
SOLID = 128
"""A pixel of at least this alpha belongs to the thing's mask."""


def _tint_matrix(dark: tuple[int, ...], light: tuple[int, ...]) -> tuple[float, ...]:
    """RGB to the shades from `dark` to `light`, by luminance: three rows of four."""
    rows = ([luma * (high - low) / 255 for luma in _LUMA] + [low] for low, high in zip(dark, light, strict=True))
    return tuple(value for row in rows for value in row)


_TINTS = {colour: _tint_matrix(*shades) for colour, *shades in zip(COLOURS, _DARK, _LIGHT, strict=True)}


class Sprite(NamedTuple):
    """A picture with colours premultiplied by alpha ("RGBa"), and which of its pixels are solid, (h, w) bool."""

    image: Image.Image
    solid: np.ndarray


def sprite(concept: int, style: str, side: float, angle: float) -> Sprite:
    """The picture with `side` pixels to a side before turning by `angle` degrees, cut to its solid part.

    Each edge of the result touches a solid pixel.
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
    scale, middle, source = level.width / side / 2, size, level.width / 2
    a, b = cos * scale, sin * scale  # two pixels for one; the mean of four nearest is thrice as fast as bilinear ones
    data = (a, b, source - (a + b) * middle, -b, a, source - (a - b) * middle)
    turned = level.transform((2 * size, 2 * size), Image.Transform.AFFINE, data, Image.Resampling.NEAREST).reduce(2)
    solid = np.asarray(turned.getchannel(3)) >= SOLID
    top, bottom, left, right = bounds(solid)
    return Sprite(turned.crop((left, top, right, bottom)), solid[top:bottom, left:right])


def lay_over(picture: Image.Image, image: Image.Image, left: int, top: int, colour: str) -> None:
    """Draws a sprite's image over an RGB picture, in place; in shades of one of `COLOURS`, or "" for its own."""
    mask = image.convert("RGBA")
    shown = mask.convert("RGB").convert("RGB", _TINTS[colour]) if colour else mask
    picture.paste(shown, (left, top), mask)


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
