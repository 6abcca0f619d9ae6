"""What scenes stand before: plain colours, gradients, stripes, checks, dots and noise, each between two colours."""

from functools import lru_cache

import numpy as np
from PIL import Image

from amodal.data.scenes.dice import Dice

_KINDS = ("plain", "gradient", "stripes", "checks", "dots", "noise")
_PER_KIND = 8


def background(size: int, dice: Dice) -> Image.Image:
    """A ground of `size` by `size` pixels, RGB."""
    patterns = _patterns(size, _KINDS[dice.below(len(_KINDS))])
    pattern = patterns[dice.below(len(patterns))]
    top, left = dice.below(size), dice.below(size)
    first, second = _colours(dice)
    steps = np.arange(256, dtype=np.int32)[:, None]
    palette = (np.array(first, dtype=np.int32) * (255 - steps) + np.array(second, dtype=np.int32) * steps) // 255
    picture = pattern.crop((left, top, left + size, top + size))
    picture.putpalette(palette.astype(np.uint8).tobytes())
    return picture.convert("RGB")


def _colours(dice: Dice) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A muted colour, and a second one near enough that patterns stay behind the things."""
    light = dice.between(60, 225)
    middle = [0.55 * light + 0.45 * dice.between(30, 245) for _ in range(3)]
    spread = dice.between(12, 45)
    shift = [dice.between(-spread, spread) for _ in range(3)]
    first = tuple(min(max(int(m - s), 0), 255) for m, s in zip(middle, shift, strict=True))
    second = tuple(min(max(int(m + s), 0), 255) for m, s in zip(middle, shift, strict=True))
    return first, second


@lru_cache(maxsize=64)
def _patterns(size: int, kind: str) -> tuple[Image.Image, ...]:
    """Places in a palette, twice the canvas to a side, so that a window may be cut anywhere; fixed for ever."""
    maps = (_pattern(size, kind, Dice("background", kind, number)) for number in range(_PER_KIND))
    return tuple(Image.fromarray(each) for each in maps)


def _pattern(size: int, kind: str, dice: Dice) -> np.ndarray:
    double = 2 * size
    y, x = np.mgrid[0:double, 0:double].astype(np.float32) / size
    turn = dice.between(0, 2 * np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    often = dice.between(3, 12)
    if kind == "plain":
        value = np.zeros_like(x)
    elif kind == "gradient":
        value = (along - along.min()) / (along.max() - along.min())
    elif kind == "stripes":
        value = 0.5 + np.clip(3 * np.sin(along * often * np.pi), -0.5, 0.5)
    elif kind == "checks":
        value = ((np.floor(along * often) + np.floor(across * often)) % 2).astype(np.float32)
    elif kind == "dots":
        reach = np.hypot(along * often % 1 - 0.5, across * often % 1 - 0.5)
        value = np.clip((0.32 - reach) * 12 + 0.5, 0, 1)
    else:
        value = _noise(double, dice)
    return (value * 255 + 0.5).astype(np.uint8)


def _noise(double: int, dice: Dice) -> np.ndarray:
    """Values between random ones on a grid, smoothed, at two scales of detail."""
    coarse = dice.below(12) + 4
    parts = []
    for cells, weight in ((coarse, 0.7), (coarse * 4, 0.3)):
        grid = np.array([[dice.share() for _ in range(cells)] for _ in range(cells)], dtype=np.float32)
        smooth = Image.fromarray(grid).resize((double, double), Image.Resampling.BICUBIC)
        parts.append(weight * np.asarray(smooth))
    return np.clip(sum(parts), 0, 1)
