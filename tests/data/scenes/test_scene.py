"""Everything said of a scene, read back from its English words and judged by its visible pixels alone.

Nothing of the package's truth is used to judge: phrases are parsed, boxes and counts come from the owner map, and the
only thing believed is which concept each thing was drawn from.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from amodal.data.scenes import CHANGES, COLOURS, Link, Scene, Scenes, load_pool
from amodal.data.scenes.nouns import plural

POOL = load_pool()
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
SINGULAR = {name: name for name in POOL.names}
PLURAL = {plural(name): name for name in POOL.names}
RELATION = re.compile(r"^(.+) (left of|right of|above|below|bigger than|between) (.+)$")
SCENES = 150
SPLITS = ("train", "held-out-concepts", "held-out-combinations")


class Seen(NamedTuple):
    """A thing as its mask shows it."""

    name: str
    colour: str
    x: tuple[int, int]
    y: tuple[int, int]
    area: int

    @property
    def side(self) -> int:
        return max(self.x[1] - self.x[0], self.y[1] - self.y[0])


def look(scene: Scene) -> list[Seen]:
    seen = []
    for number, thing in enumerate(scene.things, start=1):
        y, x = np.nonzero(scene.owner == number)
        name = POOL.names[thing.concept]
        seen.append(Seen(name, thing.colour, (x.min(), x.max() + 1), (y.min(), y.max() + 1), len(x)))
    return seen


class Spoken(NamedTuple):
    """A phrase as it is read: several or one, a number or 0, attributes or ""."""

    name: str
    several: bool
    count: int
    colour: str
    size: str


def read_phrase(text: str) -> Spoken:
    words = text.split()
    count = NUMBERS.index(words[0]) if words[0] in NUMBERS else 0
    words = words[1:] if count or words[0] in ("a", "an") else words
    alone = count == 1 or text.startswith(("a ", "an "))
    size = words.pop(0) if words[0] in ("big", "small") and " ".join(words) not in {**SINGULAR, **PLURAL} else ""
    noun = " ".join(words)
    known = SINGULAR if alone else PLURAL
    colour = ""
    if noun not in known:
        colour, noun = words[0], " ".join(words[1:])
        assert colour in COLOURS, text
    return Spoken(known[noun], not alone, count, colour, size)


def true_of(text: str, seen: list[Seen], size: int) -> bool | None:
    """Whether an English caption is true, by eye; None where a person might hesitate."""
    match = RELATION.match(text)
    spoken = [read_phrase(each) for each in re.split(r", | and ", text)] if match is None else []
    if match is not None:
        spoken = [read_phrase(each) for each in (match[1], *re.split(" and ", match[3]))]
    verdicts = [phrase_is_true(each, seen, size) for each in spoken]
    if False in verdicts or None in verdicts or match is None:
        return False if False in verdicts else None if None in verdicts else True
    places = [next(thing for thing in seen if thing.name == each.name) for each in spoken]
    return relation_is_true(match[2], places, size)


def phrase_is_true(spoken: Spoken, seen: list[Seen], size: int) -> bool | None:
    named = [thing for thing in seen if thing.name == spoken.name]
    if not named or (len(named) > 1) != spoken.several or spoken.count not in (0, len(named)):
        return False
    if spoken.colour and {thing.colour for thing in named} != {spoken.colour}:
        return None if {thing.colour for thing in named} == {""} else False
    if spoken.size == "big":
        return judged(min(thing.side for thing in named) / size, 0.4, 0.22)
    if spoken.size == "small":
        return judged(-max(thing.side for thing in named) / size, -0.22, -0.4)
    return True


def judged(value: float, enough: float, too_little: float) -> bool | None:
    """True from `enough` up, False down from `too_little`, None between."""
    return True if value >= enough else False if value <= too_little else None


def relation_is_true(relation: str, things: list[Seen], size: int) -> bool | None:
    if relation == "between":
        return between_is_true(things, size)
    one, other = things
    if relation in ("right of", "below"):
        one, other = other, one
    if relation == "bigger than":
        ratio = min(one.side / other.side, one.area / other.area)
        inverse = min(other.side / one.side, other.area / one.area)
        return True if ratio >= 1.3 else False if inverse >= 1.3 else None
    horizontal = relation in ("left of", "right of")
    first, second = (one.x, other.x) if horizontal else (one.y, other.y)
    if ahead(first, second, size):
        return True
    return False if ahead(second, first, size) else None


def ahead(first: tuple[int, int], second: tuple[int, int], size: int) -> bool:
    """Whether one span's middle is 0.12 of the canvas before the other's, and each lies outside the other span."""
    middle, after = sum(first) / 2, sum(second) / 2
    return after - middle >= 0.12 * size and middle <= second[0] and after >= first[1]


def between_is_true(things: list[Seen], size: int) -> bool | None:
    middle, one, other = things
    for span in ("x", "y"):
        at, first, last = (getattr(thing, span) for thing in (middle, one, other))
        if (ahead(first, at, size) and ahead(at, last, size)) or (ahead(last, at, size) and ahead(at, first, size)):
            return True
    for span in ("x", "y"):
        at, first, last = (getattr(thing, span) for thing in (middle, one, other))
        if (ahead(at, first, size) and ahead(at, last, size)) or (ahead(first, at, size) and ahead(last, at, size)):
            return False
    return None


@pytest.fixture(scope="module", params=SPLITS)
def scenes(request: pytest.FixtureRequest) -> list[Scene]:
    source = Scenes(request.param, seed=3)
    return [source[number] for number in range(SCENES)]


def test_the_judge_can_say_no() -> None:
    """By hand: a cat at the left, a big red dog at the right."""
    seen = [Seen("cat", "", (0, 20), (50, 70), 300), Seen("dog", "red", (60, 120), (40, 100), 2000)]
    verdicts = {
        "a cat left of a dog": True,
        "a cat right of a dog": False,
        "a cat above a dog": None,
        "a dog bigger than a cat": True,
        "a big red dog and a cat": True,
        "a small dog and a cat": False,
        "a blue dog": False,
        "a red cat": None,
        "two cats and one dog": False,
        "cats": False,
        "one cat and one dog": True,
        "a fox": False,
    }
    assert {text: true_of(text, seen, 128) for text in verdicts} == verdicts


def test_every_caption_is_true(scenes: list[Scene]) -> None:
    forms = set()
    for scene in scenes:
        seen = look(scene)
        assert [caption.form for caption in scene.captions[:2]] == ["plain", "count"]
        for caption in scene.captions:
            forms.add(caption.form)
            assert true_of(caption.text, seen, scene.size) is True, (scene.number, caption.text)
    assert forms == {"plain", "count", "relation", "between", "attribute"}


def test_every_falsehood_is_false_and_of_the_kind_it_says(scenes: list[Scene]) -> None:
    made = dict.fromkeys(CHANGES, 0)
    for scene in scenes:
        seen = look(scene)
        for change, of, caption in scene.falsehoods:
            made[change] += 1
            before = scene.captions[of]
            assert true_of(caption.text, seen, scene.size) is False, (scene.number, caption.text)
            assert what_changed(before.text, caption.text) == change, (before.text, caption.text)
    assert min(made.values()) > SCENES / 6, made


def what_changed(before: str, after: str) -> str:
    first, second = (
        [
            read_phrase(each)
            for each in re.split(r", | and | (?:left of|right of|above|below|bigger than|between) ", text)
        ]
        for text in (before, after)
    )
    if sorted(first) == sorted(second):
        return "relation"
    fields = {
        name
        for a, b in zip(first, second, strict=True)
        for name in Spoken._fields
        if getattr(a, name) != getattr(b, name)
    }
    return {"name": "object", "count": "count", "several": "count", "colour": "attribute", "size": "attribute"}[
        min(fields)
    ]


def test_boxes_areas_and_visibility_are_those_of_the_masks(scenes: list[Scene]) -> None:
    covered = 0
    for scene in scenes:
        assert 1 <= len(scene.things) <= 6
        assert scene.owner.max() == len(scene.things)
        assert (scene.masks.sum(axis=0) == (scene.owner > 0)).all()
        for thing, eye, mask in zip(scene.things, look(scene), scene.masks, strict=True):
            left, top, right, bottom = thing.box
            assert ((left, right), (top, bottom), thing.area) == (eye.x, eye.y, eye.area)
            assert thing.area == mask.sum()
            assert 0.7 <= thing.visible <= 1
            covered += thing.visible < 1
    assert covered > SCENES / 10


def test_links_point_at_the_words_and_the_things(scenes: list[Scene]) -> None:
    for scene in scenes:
        for caption in scene.captions:
            assert all(link.end <= after.start for link, after in pairwise(caption.phrases))
            for link in caption.phrases:
                spoken = read_phrase(caption.text[link.start : link.end])
                assert names(scene, link) == {spoken.name}
                assert len(link.things) == sum(POOL.names[thing.concept] == spoken.name for thing in scene.things)
            for link in caption.words:
                assert word_fits(scene, link, caption.text[link.start : link.end])


def names(scene: Scene, link: Link) -> set[str]:
    return {POOL.names[scene.things[place].concept] for place in link.things}


def word_fits(scene: Scene, link: Link, word: str) -> bool:
    if link.role == "noun":
        return names(scene, link) == {SINGULAR.get(word) if len(link.things) == 1 else PLURAL.get(word)}
    if link.role == "count":
        return NUMBERS[len(link.things)] == word
    if link.role == "colour":
        return {scene.things[place].colour for place in link.things} == {word}
    return link.role == "size" and word in ("big", "small")


QUESTIONS = {
    "exists": r"Is there an? (.+)\?",
    "count": r"How many (.+) are there\?",
    "which is left of": r"Which is further left, the (.+) or the (.+)\?",
    "compare counts": r"Are there more (.+) than (.+)\?",
    "relation": r"Is (the .+) (left of|right of|above|below|bigger than) the (.+)\?",
    "attribute": r"What colour is the (.+)\?",
}


def test_every_answer_is_right(scenes: list[Scene]) -> None:
    kinds = set()
    for scene in scenes:
        seen = look(scene)
        for question in scene.questions:
            kinds.add(question.kind)
            found = re.fullmatch(QUESTIONS[question.kind], question.text)
            assert found is not None, question.text
            assert question.answer == right_answer(question.kind, found.groups(), seen, scene.size), question.text
    assert kinds == set(QUESTIONS)


def right_answer(kind: str, asked: tuple[str, ...], seen: list[Seen], size: int) -> str:
    there = [thing.name for thing in seen]
    if kind == "exists":
        return "yes" if asked[0] in there else "no"
    if kind == "count":
        return str(there.count(PLURAL[asked[0]]))
    if kind == "compare counts":
        return "yes" if there.count(PLURAL[asked[0]]) > there.count(PLURAL[asked[1]]) else "no"
    if kind == "attribute":
        return seen[there.index(asked[0])].colour
    if kind == "which is left of":
        one, other = (seen[there.index(name)] for name in asked)
        return asked[0] if sum(one.x) < sum(other.x) else asked[1]
    truth = relation_is_true(asked[1], [seen[there.index(name)] for name in (asked[0][4:], asked[2])], size)
    assert truth is not None
    return "yes" if truth else "no"


def test_no_two_things_of_a_scene_could_be_taken_for_each_other(scenes: list[Scene]) -> None:
    for scene in scenes:
        places = [kind.concept for kind in scene.kinds]
        clash = POOL.clash[np.ix_(places, places)]
        assert clash.sum() == len(places), scene.tags  # each with itself alone
        assert scene.tags == tuple(POOL.names[concept] for concept in places)


def test_a_tint_can_be_seen(scenes: list[Scene]) -> None:
    """The mean colour of a tinted thing's pixels is the one said, by channel order."""
    strongest = {"red": "r", "yellow": "rg", "green": "g", "blue": "b", "purple": "rb", "grey": "rgb"}
    checked = 0
    for pixels, colour in tinted(scenes):
        low, high = pixels.min(), pixels.max()
        strong = "".join(name for name, value in zip("rgb", pixels, strict=True) if value > (low + 2 * high) / 3)
        assert colour == "grey" or strong in (strongest[colour], "b" if colour == "purple" else ""), (colour, pixels)
        assert colour != "grey" or high - low < 30
        checked += 1
    assert checked > SCENES / 4


def tinted(scenes: list[Scene]) -> Iterator[tuple[np.ndarray, str]]:
    for scene in scenes:
        for thing, mask in zip(scene.things, scene.masks, strict=True):
            if thing.colour:
                yield scene.picture[mask].mean(axis=0), thing.colour
