"""One scene as a person uses it: picture, things, masks, and in any language captions, questions and falsehoods."""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from amodal.data.annotations import Link
from amodal.data.scenes.compose import Drawing, Rules
from amodal.data.scenes.concepts import Pool
from amodal.data.scenes.dice import Dice
from amodal.data.scenes.grammar import Grammar, Part, Phrase, Text, fill
from amodal.data.scenes.questions import Asked, QuestionKind, ask
from amodal.data.scenes.statements import CHANGES, Change, Facts, Form, Mention, Statement, falsified, true_statements
from amodal.data.scenes.truth import Thing


class Caption(NamedTuple):
    """A sentence, what it says, and its links: phrases for boxes, words for masks. things: places in `Scene.things`."""

    form: Form
    text: str
    phrases: tuple[Link, ...]
    words: tuple[Link, ...]
    statement: Statement


class Falsehood(NamedTuple):
    """A caption with one thing changed so that it is false. of: which caption of the scene it is made from."""

    change: Change
    of: int
    caption: Caption


class Question(NamedTuple):
    """A question with its answer, in words, and the links of what it asks about."""

    kind: QuestionKind
    text: str
    answer: str
    phrases: tuple[Link, ...]
    words: tuple[Link, ...]
    asked: Asked


class Name(NamedTuple):
    """What a scene depends on, beside its size."""

    seed: int
    split: str
    number: int


class Wording(NamedTuple):
    """A grammar and the pool's names in the language of the nouns."""

    grammar: Grammar
    names: tuple[str, ...]


class Scene:
    """Scene `number` of a split.

    picture: (size, size, 3) uint8; owner: (size, size) uint8, 0 for the ground, i + 1 where thing i is seen; things:
    back to front; kinds: what the scene was planned to hold; novelty: why it is a held-out combination, or None.
    """

    def __init__(self, name: Name, drawing: Drawing, pool: Pool, wording: Wording, rules: Rules) -> None:
        self.picture, self.owner = drawing.picture, drawing.owner
        self.things: tuple[Thing, ...] = drawing.things
        self.kinds, self.novelty = drawing.kinds, drawing.novelty
        self.seed, self.split, self.number = name
        self.size = len(drawing.owner)
        self._pool, self._wording = pool, wording
        self._others, self._name = rules.concepts, name
        self.facts = Facts(pool, drawing, rules.held_out == "never")
        self._indices = {kind.concept: self._of(kind.concept) for kind in drawing.kinds}

    @property
    def masks(self) -> np.ndarray:
        """The visible pixels of each thing. -> (N, size, size) bool"""
        return self.owner[None] == np.arange(1, len(self.things) + 1, dtype=np.uint8)[:, None, None]

    @property
    def tags(self) -> tuple[str, ...]:
        """The names of the kinds of things, in the language of the nouns."""
        return tuple(self._wording.names[kind.concept] for kind in self.kinds)

    @cached_property
    def captions(self) -> tuple[Caption, ...]:
        """One caption of each form that fits: plain, count, relation, between, attribute."""
        said = true_statements(self.facts, self.novelty, Dice(*self._name, "captions"))
        return tuple(self.caption(statement) for statement in said)

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """At most one question of each kind."""
        asked = ask(self.facts, self._others, Dice(*self._name, "questions"))
        return tuple(self._question(each) for each in asked)

    @cached_property
    def falsehoods(self) -> tuple[Falsehood, ...]:
        """Every caption with every change that it allows, at most one of each."""
        found = []
        for place, caption in enumerate(self.captions):
            for change in CHANGES:
                false = self.falsehood(caption, change)
                if false is not None:
                    found.append(Falsehood(change, place, false))
        return tuple(found)

    def falsehood(self, caption: Caption, change: Change) -> Caption | None:
        """The caption with one thing changed so that it is surely false of this scene; None if it has no such thing."""
        dice = Dice(*self._name, "falsehood", caption.form, change)
        statement = falsified(self.facts, caption.statement, change, self._others, dice)
        return None if statement is None else self.caption(statement)

    def caption(self, statement: Statement) -> Caption:
        """Any statement, true or not, in the scene's language."""
        grammar = self._wording.grammar
        said = [self._said(mention) for mention in statement.mentions]
        form = grammar.relations[statement.relation] if statement.relation else _listing(grammar, len(said))
        text = fill(form, [lambda case, each=each: grammar.phrase(each, case) for each in said])
        phrases, words = self._links(text, [mention.concept for mention in statement.mentions])
        return Caption(statement.form, text.text, phrases, words, statement)

    def _question(self, asked: Asked) -> Question:
        grammar = self._wording.grammar
        said = [Phrase(self._wording.names[concept], False) for concept in asked.concepts]

        def worded(case: str, each: Phrase) -> list[Part]:
            if asked.kind == "exists":
                return grammar.phrase(each, case)
            return grammar.bare(each) if asked.kind in ("count", "compare counts") else grammar.known(each, case)

        form = grammar.asked[asked.relation or asked.kind]
        text = fill(form, [lambda case, each=each: worded(case, each) for each in said])
        phrases, words = self._links(text, list(asked.concepts))
        return Question(asked.kind, text.text, self._answer(asked), phrases, words, asked)

    def _answer(self, asked: Asked) -> str:
        if asked.kind == "which is left of":
            return self._wording.names[asked.concepts[int(asked.answer)]]
        if isinstance(asked.answer, bool):
            return self._wording.grammar.yes_no[0 if asked.answer else 1]
        return self._wording.grammar.colours[asked.answer] if isinstance(asked.answer, str) else str(asked.answer)

    def _said(self, mention: Mention) -> Phrase:
        return Phrase(self._wording.names[mention.concept], *mention[1:])

    def _links(self, text: Text, concepts: list[int]) -> tuple[tuple[Link, ...], tuple[Link, ...]]:
        things = [self._indices.get(concept, ()) for concept in concepts]
        phrases = (Link(start, end, "phrase", each) for (start, end), each in zip(text.phrases, things, strict=True))
        words = (Link(start, end, role, things[phrase]) for start, end, phrase, role in text.words)
        return tuple(phrases), tuple(words)

    def _of(self, concept: int) -> tuple[int, ...]:
        return tuple(place for place, thing in enumerate(self.things) if thing.concept == concept)


def _listing(grammar: Grammar, number: int) -> str:
    """ "{}, {} and {}"."""
    return grammar.joint.join(["{}"] * (number - 1)) + (grammar.last_joint if number > 1 else "") + "{}"
