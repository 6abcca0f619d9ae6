"""Questions about a scene with answers that the question gives no hint of.

yes and no are drawn before the question is; which of two is named first is a coin; colours and counts are drawn evenly
when a scene is composed. What is left to a guess from the words is measured in the tests.
"""

from typing import Literal, NamedTuple

from amodal.data.scenes.dice import Dice
from amodal.data.scenes.statements import Facts, Mention, Statement, absent_concept
from amodal.data.scenes.truth import RELATIONS

QuestionKind = Literal["exists", "count", "which is left of", "compare counts", "relation", "attribute"]
QUESTION_KINDS: tuple[QuestionKind, ...] = (
    "exists", "count", "which is left of", "compare counts", "relation", "attribute",
)  # fmt: skip
CHANCE = {
    "exists": 1 / 2, "count": 1 / 4, "which is left of": 1 / 2, "compare counts": 1 / 2, "relation": 1 / 2,
    "attribute": 1 / 6,
}  # fmt: skip
"""What a guess gets right, each answer of its kind being equally likely."""


class Asked(NamedTuple):
    """A question before it is worded. concepts: in the order named; relation: for "relation"; answer: True or False,
    a number, a colour, or the place in `concepts` of the thing that is meant."""

    kind: QuestionKind
    concepts: tuple[int, ...]
    answer: bool | int | str
    relation: str = ""


def ask(facts: Facts, others: tuple[int, ...], dice: Dice) -> list[Asked]:
    """At most one question of each kind that the scene can answer beyond doubt."""
    asked = [_exists(facts, others, dice)]
    if facts.counted is not None:
        asked.append(Asked("count", (facts.counted,), len(facts.of[facts.counted])))
        asked += _compared(facts, facts.counted, dice)
    asked += _which(facts, dice)
    asked += _related(facts, dice)
    tinted = [kind for kind in facts.kinds if kind.colour and kind.count == 1]
    if tinted:
        kind = dice.pick(tinted)
        asked.append(Asked("attribute", (kind.concept,), kind.colour))
    return asked


def _exists(facts: Facts, others: tuple[int, ...], dice: Dice) -> Asked:
    if dice.coin():
        return Asked("exists", (dice.pick(facts.kinds).concept,), True)
    return Asked("exists", (absent_concept(facts, others, dice),), False)


def _compared(facts: Facts, counted: int, dice: Dice) -> list[Asked]:
    first = next(kind for kind in facts.kinds if kind.concept == counted)
    unlike = [kind for kind in facts.kinds if kind.count != first.count]
    if not unlike:
        return []
    pair = dice.shuffled((first, dice.pick(unlike)))
    return [Asked("compare counts", (pair[0].concept, pair[1].concept), pair[0].count > pair[1].count)]


def _which(facts: Facts, dice: Dice) -> list[Asked]:
    pairs = _pairs(facts, ("left of",))
    if not pairs:
        return []
    _, left, right = dice.pick(pairs)
    named = dice.shuffled((left, right))
    return [Asked("which is left of", (named[0], named[1]), named.index(left))]


def _related(facts: Facts, dice: Dice) -> list[Asked]:
    pairs = _pairs(facts, RELATIONS)
    if not pairs:
        return []
    relation, one, other = dice.pick(pairs)
    answer = dice.coin()
    return [Asked("relation", (one, other) if answer else (other, one), answer, relation)]


def _pairs(facts: Facts, relations: tuple[str, ...]) -> list[tuple[str, int, int]]:
    """What clearly holds, and may be told both ways round: a pair that is only ever shown one way gives the answer."""
    return [
        (relation, a, b)
        for relation, a, b in facts.relations
        if relation in relations
        and all(
            facts.sayable(Statement("relation", (Mention(x, False), Mention(y, False)), relation))
            for x, y in ((a, b), (b, a))
        )
    ]
