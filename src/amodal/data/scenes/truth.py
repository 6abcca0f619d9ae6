"""What is true of a scene, from its boxes and visible pixels alone, and only where nobody could doubt it.

A box is (left, top, right, bottom) in pixels, right and bottom one past the last. Every relation answers True only by a
clear margin; that it does not hold is known only when its opposite holds.
"""

from collections.abc import Sequence
from typing import NamedTuple

MARGIN = 0.12
"""The share of the canvas by which centres must be apart for a relation of place."""
_BIGGER = 1.3
BIG, SMALL = 0.4, 0.22
"""A thing is "big" or "small" when the longer side of its box is at least, or at most, this share of the canvas."""
RELATIONS = ("left of", "right of", "above", "below", "bigger than")
TURNED = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


class Thing(NamedTuple):
    """One thing as it can be seen.

    concept: its place in the pool; style: whose picture; colour: its tint, "" for its own colours; box: around its
    visible pixels; area: how many they are; visible: which share of its pixels is not covered; angle in degrees.
    """

    concept: int
    style: str
    colour: str
    box: tuple[int, int, int, int]
    area: int
    visible: float
    angle: float


def clearly(relation: str, one: Thing, other: Thing, size: int) -> bool:
    """Whether `one` RELATION `other` holds by its margin on a canvas of `size` pixels.

    Of place: the centre of either stands beyond the edge of the other and they are apart by `MARGIN`. "bigger than":
    the longer side of the box is 1.3 times the other's, and so is the number of visible pixels.
    """
    if relation == "bigger than":
        return longer_side(one) >= _BIGGER * longer_side(other) and one.area >= _BIGGER * other.area
    if relation in ("right of", "below"):
        one, other, relation = other, one, TURNED[relation]
    axis = 0 if relation == "left of" else 1
    low, high = one.box, other.box
    first, second = low[axis] + low[axis + 2], high[axis] + high[axis + 2]
    apart = second - first >= 2 * MARGIN * size
    return apart and first <= 2 * high[axis] and second >= 2 * low[axis + 2]


def between(middle: Thing, one: Thing, other: Thing, size: int) -> bool:
    """Whether `middle` stands between the two: in a row or a column, by the margins, and near their line."""
    for relation, axis in (("left of", 1), ("above", 0)):
        for first, last in ((one, other), (other, one)):
            if clearly(relation, first, middle, size) and clearly(relation, middle, last, size):
                return _off_the_line(middle, first, last, axis) <= MARGIN * size
    return False


def never_between(middle: Thing, one: Thing, other: Thing, size: int) -> bool:
    """Whether nobody could call `middle` between the two: it stands clearly beyond both, to one side."""
    return any(
        clearly(relation, middle, one, size) and clearly(relation, middle, other, size)
        for relation in ("left of", "right of", "above", "below")
    )


def size_word(things: Sequence[Thing], size: int) -> str:
    """ "big", "small", or "" when not all of the things are the one or the other."""
    sides = [longer_side(thing) for thing in things]
    if min(sides) >= BIG * size:
        return "big"
    return "small" if max(sides) <= SMALL * size else ""


def longer_side(thing: Thing) -> int:
    """The longer side of the box, in pixels."""
    left, top, right, bottom = thing.box
    return max(right - left, bottom - top)


def _off_the_line(middle: Thing, first: Thing, last: Thing, axis: int) -> float:
    """How far the centre is from the line through the other two, measured along `axis`, in pixels."""
    (x0, y0), (x1, y1), (x, y) = (_centre(thing, axis) for thing in (first, last, middle))
    return abs(y - (y0 + (y1 - y0) * (x - x0) / (x1 - x0)))


def _centre(thing: Thing, axis: int) -> tuple[float, float]:
    left, top, right, bottom = thing.box
    centre = ((left + right) / 2, (top + bottom) / 2)
    return centre if axis == 1 else (centre[1], centre[0])
