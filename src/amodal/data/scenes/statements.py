"""What can be said of a scene, whichever the language: statements, whether they hold, and how to falsify them.

A count is exact: "two cats" is false of three. "a cat" and "cats" say one and several. "red" is said of things tinted
red alone, never of a thing that is red by itself.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Literal, NamedTuple

from amodal.data.scenes.compose import MOST_COUNTED, Drawing, Kind, Novelty
from amodal.data.scenes.concepts import Pool
from amodal.data.scenes.dice import Dice
from amodal.data.scenes.sprites import COLOURS
from amodal.data.scenes.truth import RELATIONS, TURNED, Thing, between, clearly, never_between, size_word

Form = Literal["plain", "count", "relation", "between", "attribute"]
Change = Literal["relation", "count", "attribute", "object"]
CHANGES: tuple[Change, ...] = ("relation", "count", "attribute", "object")


class Mention(NamedTuple):
    """Things of one concept as a statement speaks of them. count: 0 where it is not told."""

    concept: int
    several: bool
    count: int = 0
    colour: str = ""
    size: str = ""


class Statement(NamedTuple):
    """A form, what it mentions in the order of the words, and the relation of the first to the others."""

    form: Form
    mentions: tuple[Mention, ...]
    relation: str = ""


class Facts:
    """A scene's things by kind, and what holds of them. Cheap to make; nothing is worked out before it is asked for."""

    def __init__(self, pool: Pool, drawing: Drawing, trained: bool) -> None:
        kinds, things = drawing.kinds, drawing.things
        self.pool, self.kinds, self.size, self.trained = pool, kinds, len(drawing.owner), trained
        self.counted = None if drawing.counted is None else kinds[drawing.counted].concept
        self.of: dict[int, list[Thing]] = {kind.concept: [] for kind in kinds}
        for thing in things:
            self.of[thing.concept].append(thing)
        self.single = [kind.concept for kind in kinds if kind.count == 1]

    @cached_property
    def relations(self) -> list[tuple[str, int, int]]:
        """Every (relation, concept, concept) that clearly holds between two things that are alone of their kind."""
        pairs = [(one, other) for one in self.single for other in self.single if one != other]
        return [(name, a, b) for a, b in pairs for name in RELATIONS if self.related(name, a, b)]

    def related(self, relation: str, one: int, other: int) -> bool:
        """Whether the relation clearly holds between the only things of two concepts."""
        return clearly(relation, self.of[one][0], self.of[other][0], self.size)

    def betweens(self) -> list[tuple[int, int, int]]:
        """Every (middle, one, other) of concepts where the first clearly stands between the others."""
        found = []
        for middle in self.single:
            rest = [concept for concept in self.single if concept != middle]
            found += [
                (middle, a, b)
                for i, a in enumerate(rest)
                for b in rest[i + 1 :]
                if between(self.of[middle][0], self.of[a][0], self.of[b][0], self.size)
            ]
        return found

    def size_of(self, concept: int) -> str:
        """ "big", "small" or "" of all things of a concept together."""
        return size_word(self.of[concept], self.size)

    def holds(self, statement: Statement) -> bool | None:
        """True, False, or None where it is not clear."""
        said = [self._mention_holds(mention) for mention in statement.mentions]
        if False in said:
            return False
        if not statement.relation:
            return None if None in said else True
        things = [self.of[mention.concept][0] for mention in statement.mentions]
        related = self._relation_holds(statement.relation, things)
        return related if related is False or None not in said else None

    def _relation_holds(self, relation: str, things: list[Thing]) -> bool | None:
        if relation == "between":
            if between(things[0], things[1], things[2], self.size):
                return True
            return False if never_between(things[0], things[1], things[2], self.size) else None
        if clearly(relation, things[0], things[1], self.size):
            return True
        return False if clearly(relation, things[1], things[0], self.size) else None

    def _mention_holds(self, mention: Mention) -> bool | None:
        things = self.of.get(mention.concept, [])
        if not things or (len(things) > 1) != mention.several or mention.count not in (0, len(things)):
            return False
        if mention.colour and things[0].colour != mention.colour:
            return False if things[0].colour else None
        size = self.size_of(mention.concept) if mention.size else ""
        return None if mention.size and not size else size == mention.size

    def sayable(self, statement: Statement) -> bool:
        """Whether a training split may say it, true or false: it names no combination that is held out."""
        if not self.trained:
            return True
        named = [mention.concept for mention in statement.mentions]
        if any(self.pool.held_pairs[a, b] for a in named for b in named if a != b):
            return False
        for mention in statement.mentions:
            count = mention.count or (1 if not mention.several else len(self.of.get(mention.concept, [])))
            if self.pool.held_counts[mention.concept, count]:
                return False
        return all(not self._held(relation, a, b) for relation, a, b in _implied(statement))

    def _held(self, relation: str, one: int, other: int) -> bool:
        if relation in ("right of", "below"):
            one, other, relation = other, one, TURNED[relation]
        return bool(self.pool.held_relations[relation][one, other])


def _implied(statement: Statement) -> Iterator[tuple[str, int, int]]:
    named = [mention.concept for mention in statement.mentions]
    if statement.form == "relation":
        yield statement.relation, named[0], named[1]


def true_statements(facts: Facts, novelty: Novelty | None, dice: Dice) -> list[Statement]:
    """What the captions of a scene say: plain and counts always, a relation, between and attributes where there are."""
    order = dice.shuffled(facts.kinds)
    said = [
        Statement("plain", tuple(Mention(kind.concept, kind.count > 1) for kind in order)),
        Statement("count", tuple(Mention(kind.concept, kind.count > 1, kind.count) for kind in order)),
    ]
    relations = _preferred(facts.relations, novelty)
    if relations:
        name, one, other = dice.pick(relations)
        said.append(Statement("relation", (Mention(one, False), Mention(other, False)), name))
    betweens = facts.betweens()
    if betweens:
        said.append(Statement("between", tuple(Mention(concept, False) for concept in dice.pick(betweens)), "between"))
    described = [_described(facts, kind) for kind in order]
    if any(mention.colour or mention.size for mention in described):
        said.append(Statement("attribute", tuple(described)))
    return said


def _preferred(relations: list[tuple[str, int, int]], novelty: Novelty | None) -> list[tuple[str, int, int]]:
    """The relations that show what is new about the scene, where there are any."""
    if novelty is None or novelty.kind == "count":
        return relations
    pair = set(novelty.concepts)
    names = RELATIONS if novelty.kind == "pair" else (novelty.kind, TURNED.get(novelty.kind, novelty.kind))
    return [each for each in relations if {each[1], each[2]} == pair and each[0] in names] or relations


def _described(facts: Facts, kind: Kind) -> Mention:
    return Mention(kind.concept, kind.count > 1, 0, kind.colour, facts.size_of(kind.concept))


def falsified(
    facts: Facts, statement: Statement, change: Change, others: tuple[int, ...], dice: Dice
) -> Statement | None:
    """The statement with one thing changed so that it is surely false, or None if it cannot be.

    relation: the things change places; count: another number from 1 to 4, where the number was drawn evenly;
    attribute: another colour, or the colours or sizes of two things changed about; object: a concept of `others` that
    is not in the scene and could not be taken for one that is. Words alone do not tell which of the two is true. A
    training split is never told a held-out combination, not even as a falsehood.
    """
    changed = {"relation": _turned, "count": _recounted, "attribute": _repainted, "object": _replaced}[change]
    candidates = changed(facts, statement, others, dice)
    return next((said for said in candidates if facts.holds(said) is False and facts.sayable(said)), None)


def _turned(facts: Facts, said: Statement, others: tuple[int, ...], dice: Dice) -> Iterator[Statement]:
    if said.form == "relation":
        yield said._replace(mentions=said.mentions[::-1])
    if said.form == "between":
        first, second, third = said.mentions
        for mentions in dice.shuffled(((second, first, third), (third, first, second))):
            yield said._replace(mentions=mentions)


def _recounted(facts: Facts, said: Statement, others: tuple[int, ...], dice: Dice) -> Iterator[Statement]:
    """Only the kind whose number was drawn evenly: of another, one is likelier than two, which would tell."""
    if said.form == "count" and facts.counted is not None:
        place = [mention.concept for mention in said.mentions].index(facts.counted)
        for count in dice.shuffled(range(1, MOST_COUNTED + 1)):
            yield _with(said, place, said.mentions[place]._replace(count=count, several=count > 1))


def _repainted(facts: Facts, said: Statement, others: tuple[int, ...], dice: Dice) -> Iterator[Statement]:
    """Tints or sizes of two things changed about, or another tint; one other size would tell: big is the likelier."""
    places = dice.shuffled(range(len(said.mentions)))
    changes = list(_changed_about(said, places))
    if changes and dice.coin():
        yield from changes
    for place in places:
        old = said.mentions[place]
        if old.colour:
            yield _with(said, place, old._replace(colour=dice.pick([c for c in COLOURS if c != old.colour])))
    yield from changes


def _changed_about(said: Statement, places: list[int]) -> Iterator[Statement]:
    for index, one in enumerate(places):
        for other in places[index + 1 :]:
            first, second = said.mentions[one], said.mentions[other]
            if first.colour and second.colour and first.colour != second.colour:
                changed = _with(said, one, first._replace(colour=second.colour))
                yield _with(changed, other, second._replace(colour=first.colour))
            if first.size and second.size and first.size != second.size:
                changed = _with(said, one, first._replace(size=second.size))
                yield _with(changed, other, second._replace(size=first.size))


def _replaced(facts: Facts, said: Statement, others: tuple[int, ...], dice: Dice) -> Iterator[Statement]:
    place = dice.below(len(said.mentions))
    for _ in range(60):
        concept = absent_concept(facts, others, dice)
        old = said.mentions[place]
        if not old.colour or facts.pool.tintable[concept]:
            yield _with(said, place, old._replace(concept=concept))


def absent_concept(facts: Facts, others: tuple[int, ...], dice: Dice) -> int:
    """One of `others` that no thing of the scene could be called."""
    while True:
        concept = dice.pick(others)
        if not any(facts.pool.clash[concept, kind.concept] for kind in facts.kinds):
            return concept


def _with(said: Statement, place: int, mention: Mention) -> Statement:
    return said._replace(mentions=(*said.mentions[:place], mention, *said.mentions[place + 1 :]))
