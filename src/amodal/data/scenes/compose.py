"""From a number to a scene: which things, how many, where; drawn back to front until all of them can be seen.

Canvas: H = W = `size` pixels. The owner map says for each pixel the thing seen there: 0 for none, i + 1 for thing i.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from amodal.data.bundled import STYLES
from amodal.data.scenes.backgrounds import background
from amodal.data.scenes.concepts import MOST_THINGS, Pool, load_pool
from amodal.data.scenes.dice import Dice
from amodal.data.scenes.sprites import COLOURS, Sprite, bounds, lay_over, sprite
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


Related = tuple[str, int, int]
"""A relation, and the concepts between which it holds."""


class _Plan(NamedTuple):
    kinds: tuple[Kind, ...]
    counted: int | None
    novelty: Novelty | None
    layout: str
    never: tuple[Related, ...]
    needed: Related | None


def compose(rules: Rules, size: int, dice: Dice) -> Drawing:
    """The scene that these dice fall to. The same rules, size and dice give the same pixels."""
    pool = load_pool()
    plan = _plan(pool, rules, dice)
    for attempt in range(_TRIES):
        if attempt % 40 == 39:  # these things cannot be laid out under the rules: others
            plan = _plan(pool, rules, dice)
        canvas = _place(plan, size, 0.97 ** (attempt % 40), dice)
        if canvas is None or not _keeps_rules(plan, things := canvas.things(), size):
            continue
        picture = background(size, dice)
        canvas.paint(picture)
        return Drawing(np.array(picture), canvas.owner, things, plan.kinds, plan.counted, plan.novelty)
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
    needed = None
    if novelty and novelty.kind in pool.held_relations:
        needed = (novelty.kind, novelty.concepts[0], novelty.concepts[1])
    never = _held_relations(pool, concepts) if rules.held_out == "never" else ()
    return _Plan(kinds, 0 if counting else None, novelty, layout, never, needed)


def _held_relations(pool: Pool, concepts: list[int]) -> tuple[Related, ...]:
    return tuple(
        (relation, one, other)
        for relation, held in pool.held_relations.items()
        for one in concepts
        for other in concepts
        if held[one, other]
    )


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
        pair_is_held = pool.held_pairs[one, other]
        held = pair_is_held if kind == "pair" else pool.held_relations[kind][one, other] and not pair_is_held
        if held and not pool.clash[one, other]:
            return Novelty(kind, (one, other))


def _place(plan: _Plan, size: int, shrink: float, dice: Dice) -> "_Canvas | None":
    """Every thing in its place, none covered too much; None if one finds no place."""
    wanted = dice.shuffled([kind for kind in plan.kinds for _ in range(kind.count)])
    low, high = _SIDES[len(wanted)]
    canvas = _Canvas(size)
    for index, kind in enumerate(wanted):
        style, angle = dice.pick(STYLES), dice.between(-25, 25)
        shape = sprite(kind.concept, style, dice.between(low, high) * size * shrink, angle)
        area = int(np.count_nonzero(shape.solid))
        for _ in range(_PLACES):
            left, top = _spot(plan.layout, index, len(wanted), size, shape.solid.shape, dice)
            alone = Thing(kind.concept, style, kind.colour, _reach(left, top, shape.solid), area, 1.0, angle)
            if _fits(plan, canvas.alone, alone, size) and canvas.put(shape, left, top):
                break
        else:
            return None
        canvas.alone.append(alone)
    return canvas


class _Canvas:
    """Sprites from back to front, and of which pixels each is the owner."""

    def __init__(self, size: int) -> None:
        self.owner = np.zeros((size, size), dtype=np.uint8)
        self.layers: list[tuple[Image.Image, int, int]] = []
        self.alone: list[Thing] = []
        self._seen: list[int] = []

    def put(self, shape: Sprite, left: int, top: int) -> bool:
        """Lays a sprite in front, unless that would cover another too much; says whether it did."""
        number, solid = len(self.layers), shape.solid
        window = self.owner[top : top + solid.shape[0], left : left + solid.shape[1]]
        lost = np.bincount(window[solid], minlength=number + 1).tolist()
        seen = [had - gone for had, gone in zip(self._seen, lost[1:], strict=True)]
        if any(now < VISIBLE * thing.area for now, thing in zip(seen, self.alone, strict=True)):
            return False
        window[solid] = number + 1
        self.layers.append((shape.image, left, top))
        self._seen = [*seen, sum(lost)]
        return True

    def things(self) -> tuple[Thing, ...]:
        """What can be seen of each."""
        return tuple(
            thing if seen == thing.area else self._covered(index, thing, seen)
            for index, (thing, seen) in enumerate(zip(self.alone, self._seen, strict=True))
        )

    def paint(self, picture: Image.Image) -> None:
        """Draws the sprites over a picture, in place."""
        for (image, left, top), thing in zip(self.layers, self.alone, strict=True):
            lay_over(picture, image, left, top, thing.colour)

    def _covered(self, index: int, thing: Thing, seen: int) -> Thing:
        left, top, right, bottom = thing.box
        first, last, west, east = bounds(self.owner[top:bottom, left:right] == index + 1)
        box = (left + west, top + first, left + east, top + last)
        return thing._replace(box=box, area=seen, visible=seen / thing.area)


def _reach(left: int, top: int, solid: np.ndarray) -> tuple[int, int, int, int]:
    return left, top, left + solid.shape[1], top + solid.shape[0]


def _spot(layout: str, index: int, number: int, size: int, shape: tuple[int, ...], dice: Dice) -> tuple[int, int]:
    """(left, top) of a sprite that stays on the canvas: anywhere, or in its slot of a row or a column."""
    free_x, free_y = size - shape[1], size - shape[0]
    if layout == "free":
        return dice.below(free_x + 1), dice.below(free_y + 1)
    slot = (index + 0.5 + dice.between(-0.2, 0.2)) / number
    off = 0.5 + dice.between(-0.12, 0.12)
    x, y = (slot, off) if layout == "row" else (off, slot)
    left, top = int(x * size - shape[1] / 2), int(y * size - shape[0] / 2)
    return min(max(left, 0), free_x), min(max(top, 0), free_y)


def _fits(plan: _Plan, before: list[Thing], new: Thing, size: int) -> bool:
    """Whether a new thing shows no relation that may not be shown, and, once both are there, the one that must be."""
    for other in before:
        for relation, a, b in plan.never:
            if (new.concept, other.concept) == (a, b) and clearly(relation, new, other, size):
                return False
            if (other.concept, new.concept) == (a, b) and clearly(relation, other, new, size):
                return False
        if plan.needed:
            relation, a, b = plan.needed
            if (new.concept, other.concept) == (a, b) and not clearly(relation, new, other, size):
                return False
            if (other.concept, new.concept) == (a, b) and not clearly(relation, other, new, size):
                return False
    return True


def _keeps_rules(plan: _Plan, things: tuple[Thing, ...], size: int) -> bool:
    """The same of the whole scene, by what can still be seen of each thing."""
    if not (plan.never or plan.needed):
        return True
    return all(_fits(plan, list(things[:index]), thing, size) for index, thing in enumerate(things))
