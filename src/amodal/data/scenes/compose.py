"""From a number to a scene: which things, how many, where; drawn back to front until all of them can be seen.

Canvas: H = W = `size` pixels. The owner map says for each pixel the thing seen there: 0 for none, i + 1 for thing i.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from amodal.data.bundled import STYLES
from amodal.data.scenes.backgrounds import background
from amodal.data.scenes.concepts import MOST_THINGS, Pool, load_pool
from amodal.data.scenes.dice import Dice
from amodal.data.scenes.sprites import COLOURS, SOLID, bounds, sprite
from amodal.data.scenes.truth import Thing, clearly

MOST_COUNTED = 4
VISIBLE = 0.7
"""The share of a thing's pixels that is never covered."""
_TRIES, _PLACES = 400, 10
_TINTED = 0.4
_SIDES = {1: (0.2, 0.7), 2: (0.16, 0.56), 3: (0.16, 0.48), 4: (0.16, 0.44), 5: (0.16, 0.42), 6: (0.16, 0.4)}


class Kind(NamedTuple):
    """Things of one concept in a scene: `count` of them, tinted in `colour` or "" for not."""

    concept: int
    count: int
    colour: str


class Novelty(NamedTuple):
    """Why a scene belongs to the held-out combinations: kind ("pair", "count", or a relation), and its concepts."""

    kind: str
    concepts: tuple[int, ...]
    count: int = 0


class Rules(NamedTuple):
    """What a split may show: `concepts` (places in the pool), and held-out combinations "never", "free" or "always"."""

    concepts: tuple[int, ...]
    held_out: str


@dataclass(frozen=True, eq=False)
class Drawing:
    """A picture (size, size, 3) uint8, its owner map (size, size) uint8, its things, and what it was planned to show.

    counted: the kind whose count was drawn evenly from 1 to 4, None where no kind was meant to be counted.
    """

    picture: np.ndarray
    owner: np.ndarray
    things: tuple[Thing, ...]
    kinds: tuple[Kind, ...]
    counted: int | None
    novelty: Novelty | None


class _Plan(NamedTuple):
    kinds: tuple[Kind, ...]
    counted: int | None
    novelty: Novelty | None
    layout: str


def compose(rules: Rules, size: int, dice: Dice) -> Drawing:
    """The scene that these dice fall to. The same rules, size and dice give the same pixels."""
    pool = load_pool()
    plan = _plan(pool, rules, dice)
    for attempt in range(_TRIES):
        if attempt % 40 == 39:  # these things cannot be laid out under the rules: others
            plan = _plan(pool, rules, dice)
        placed = _place(plan, size, 0.97 ** (attempt % 40), dice)
        if placed is None or not _keeps_rules(pool, rules, plan, placed[1], size):
            continue
        layers, things, owner = placed
        picture = background(size, dice)
        for pixels, left, top in layers:
            _lay_over(picture, pixels, left, top)
        return Drawing(picture, owner, things, plan.kinds, plan.counted, plan.novelty)
    raise RuntimeError(f"no scene in {_TRIES} tries; the rules leave too few combinations")


def _plan(pool: Pool, rules: Rules, dice: Dice) -> _Plan:
    while True:
        plan = _some_plan(pool, rules, dice)
        if plan is not None:
            return plan


def _some_plan(pool: Pool, rules: Rules, dice: Dice) -> _Plan | None:
    """Half of the scenes have a kind to count, one to four of it; the others have one thing of each kind."""
    novelty = _novelty(pool, rules, dice) if rules.held_out == "always" else None
    counting = novelty.kind == "count" if novelty else dice.coin()
    if counting:
        first = novelty.count if novelty else dice.below(MOST_COUNTED) + 1
        number = 2 + dice.coin(0.4)
    else:
        first, number = 1, dice.pick((1, 2, 2, 2, 2, 3, 3, 3, 4, 4))
    concepts = list(novelty.concepts) if novelty else []
    number = max(number, len(concepts))
    while len(concepts) < number:
        concept = dice.pick(rules.concepts)
        if any(pool.clash[concept, other] for other in concepts):
            continue
        if rules.held_out == "never" and any(pool.held_pairs[concept, other] for other in concepts):
            continue
        concepts.append(concept)
    counts = [first] + [1 + (counting and dice.coin(0.35)) for _ in concepts[1:]]
    if sum(counts) > MOST_THINGS:
        counts[1:] = [1 for _ in concepts[1:]]
    if rules.held_out == "never" and any(pool.held_counts[c, n] for c, n in zip(concepts, counts, strict=True)):
        return None
    kinds = tuple(Kind(c, n, _tint(pool, c, dice)) for c, n in zip(concepts, counts, strict=True))
    layout = dice.pick(("row", "column", "free", "free", "free")) if not counting and len(kinds) > 2 else "free"
    return _Plan(kinds, 0 if counting else None, novelty, layout)


def _tint(pool: Pool, concept: int, dice: Dice) -> str:
    return dice.pick(COLOURS) if pool.tintable[concept] and dice.coin(_TINTED) else ""


def _novelty(pool: Pool, rules: Rules, dice: Dice) -> Novelty:
    """A combination that training never shows; its pair is a trained one unless the pair itself is the novelty."""
    kind = dice.pick(("pair", "count", *pool.held_relations))
    while True:
        one, other = dice.pick(rules.concepts), dice.pick(rules.concepts)
        if kind == "count":
            count = dice.below(MOST_COUNTED - 1) + 2
            if pool.held_counts[one, count]:
                return Novelty(kind, (one,), count)
            continue
        held = pool.held_pairs if kind == "pair" else pool.held_relations[kind] & ~pool.held_pairs
        if held[one, other] and not pool.clash[one, other]:
            return Novelty(kind, (one, other))


def _place(
    plan: _Plan, size: int, shrink: float, dice: Dice
) -> tuple[list[tuple[np.ndarray, int, int]], tuple[Thing, ...], np.ndarray] | None:
    """Layers (pixels, left, top) from back to front, things in the same order, owner map; None if one finds no place."""
    wanted = dice.shuffled([kind for kind in plan.kinds for _ in range(kind.count)])
    low, high = _SIDES[len(wanted)]
    owner = np.zeros((size, size), dtype=np.uint8)
    layers: list[tuple[np.ndarray, int, int]] = []
    full: list[int] = []
    seen = [size * size]
    turns: list[tuple[str, float]] = []
    for index, kind in enumerate(wanted):
        style, angle = dice.pick(STYLES), dice.between(-25, 25)
        pixels = sprite(kind.concept, style, dice.between(low, high) * size * shrink, angle, kind.colour)
        solid = pixels[:, :, 3] >= SOLID
        area = int(np.count_nonzero(solid))
        for _ in range(_PLACES):
            left, top = _spot(plan.layout, index, len(wanted), size, pixels.shape, dice)
            window = owner[top : top + pixels.shape[0], left : left + pixels.shape[1]]
            lost = np.bincount(window[solid], minlength=index + 1)
            if all(seen[i + 1] - lost[i + 1] >= VISIBLE * full[i] for i in range(index)):
                break
        else:
            return None
        for i in range(index):
            seen[i + 1] -= int(lost[i + 1])
        window[solid] = index + 1
        seen.append(area)
        full.append(area)
        layers.append((pixels, left, top))
        turns.append((style, angle))
    things = tuple(
        Thing(kind.concept, style, kind.colour, _box(owner, i, layers[i], seen[i + 1] == full[i]), seen[i + 1],
              seen[i + 1] / full[i], angle)
        for i, (kind, (style, angle)) in enumerate(zip(wanted, turns, strict=True))
    )  # fmt: skip
    return layers, things, owner


def _spot(layout: str, index: int, number: int, size: int, shape: tuple[int, ...], dice: Dice) -> tuple[int, int]:
    """(left, top) of a sprite that stays on the canvas: anywhere, or in its slot of a row or a column."""
    free_x, free_y = size - shape[1], size - shape[0]
    if layout == "free":
        return dice.below(free_x + 1), dice.below(free_y + 1)
    slot = (index + 0.5 + dice.between(-0.2, 0.2)) / number
    off = 0.5 + dice.between(-0.12, 0.12)
    x, y = (slot, off) if layout == "row" else (off, slot)
    return (
        min(max(int(x * size - shape[1] / 2), 0), free_x),
        min(max(int(y * size - shape[0] / 2), 0), free_y),
    )


def _box(owner: np.ndarray, index: int, layer: tuple[np.ndarray, int, int], whole: bool) -> tuple[int, int, int, int]:
    pixels, left, top = layer
    height, width = pixels.shape[:2]
    if whole:
        return left, top, left + width, top + height
    first, last, west, east = bounds(owner[top : top + height, left : left + width] == index + 1)
    return left + west, top + first, left + east, top + last


def _keeps_rules(pool: Pool, rules: Rules, plan: _Plan, things: tuple[Thing, ...], size: int) -> bool:
    """Whether no relation is shown that the split may not show, and the one that it must show is."""
    if rules.held_out == "always" and plan.novelty and plan.novelty.kind in pool.held_relations:
        pair = [next(thing for thing in things if thing.concept == c) for c in plan.novelty.concepts]
        return clearly(plan.novelty.kind, pair[0], pair[1], size)
    if rules.held_out != "never":
        return True
    for relation, held in pool.held_relations.items():
        for one in things:
            row = held[one.concept]
            if any(row[other.concept] and clearly(relation, one, other, size) for other in things):
                return False
    return True


def _lay_over(picture: np.ndarray, pixels: np.ndarray, left: int, top: int) -> None:
    """Premultiplied pixels over the picture, in place."""
    window = picture[top : top + pixels.shape[0], left : left + pixels.shape[1]]
    alpha = pixels[:, :, 3:].astype(np.uint16)
    through = 256 - alpha - (alpha >> 7)  # 256 for clear and 0 for solid, so that both are exact
    window[...] = pixels[:, :, :3] + ((window * through) >> 8).astype(np.uint8)
