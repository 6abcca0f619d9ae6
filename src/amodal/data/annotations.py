"""What is known of a picture beyond its captions: things with boxes and masks, phrases linked to them, questions.

The names are those of a scene, so that what reads `scene.things[0].box`, `scene.captions[0].phrases` or
`scene.questions[0].answer` reads a photograph's annotations, too.
"""

from typing import NamedTuple

from amodal.data.masks import Mask

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels of the picture, right and bottom one past the last."""


class Link(NamedTuple):
    """Characters `start` to `end` of a text, and the things they mean. things: places among the picture's things.

    role: "phrase"; of a scene's word "noun", "count", "colour", "size"; of a phrase without things "scene" (it means
    the whole), "no box" or "not visual". chain: the same for all phrases of one picture that mean the same; kind: what
    the source calls it, such as "people".
    """

    start: int
    end: int
    role: str
    things: tuple[int, ...]
    chain: str = ""
    kind: str = ""


class Instance(NamedTuple):
    """One thing of a picture, or with `crowd` a group that nobody counted. name: its category."""

    name: str
    box: Box
    mask: Mask | None = None
    crowd: bool = False


class Sentence(NamedTuple):
    """A text, and the links of its phrases."""

    text: str
    phrases: tuple[Link, ...] = ()


class OpenQuestion(NamedTuple):
    """A question with its commonest answer, and all that people gave; no answers where they are kept secret.

    kind: of the answer, as the source calls it: "yes/no", "number", "other".
    """

    kind: str
    text: str
    answer: str
    answers: tuple[str, ...]
    key: str


class Annotations(NamedTuple):
    """What a source says of one picture. captions: of the whole; regions: texts that each mean some of the things."""

    things: tuple[Instance, ...] = ()
    captions: tuple[Sentence, ...] = ()
    regions: tuple[Sentence, ...] = ()
    questions: tuple[OpenQuestion, ...] = ()


def said_of(text: str, thing: int, chain: str = "") -> Sentence:
    """A text that as a whole means one thing."""
    return Sentence(text, (Link(0, len(text), "phrase", (thing,), chain),))
