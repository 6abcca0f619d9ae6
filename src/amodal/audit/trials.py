"""What a model's limits are measured on: pictures, each with a true sentence and one that differs in one respect.

On scenes the false sentence is sure to be false; on the bundled set it is the name of another concept.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import NamedTuple

from PIL import Image

from amodal.core.errors import UsageError
from amodal.data.emoji import bundled_table
from amodal.data.rows import Row
from amodal.data.scenes import Caption, Scene, Scenes, load_pool
from amodal.data.scenes.nouns import article, is_countable
from amodal.data.scenes.statements import Change, Form
from amodal.towers import packaged_text_folder

CHANCE = 0.5
"""Of two sentences one is true."""

_CHANGED: Mapping[Form, Change] = {
    "plain": "object",
    "count": "count",
    "relation": "relation",
    "attribute": "attribute",
}
_MOST_SCENES = 40  # for each trial wanted: what these do not bring, more would not


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One thing that a model may not be able to tell. order_only: true and false have the same words, so that a bag of
    words cannot tell them apart; source: "scenes" or "bundled"."""

    name: str
    title: str
    asks: str
    source: str
    order_only: bool = False


class Trial(NamedTuple):
    """A picture with a true and a false sentence. group: trials of one group are not independent."""

    picture: Image.Image
    true: str
    false: str
    group: str


LIMITS = (
    Limit(name="objects", title="Which thing", asks="one thing is replaced by another (a control)", source="scenes"),
    Limit(name="counting", title="How many", asks="another number from 1 to 4", source="scenes"),
    Limit(name="left-right", title="Left or right", asks="the two change places", source="scenes", order_only=True),
    Limit(name="above-below", title="Above or below", asks="the two change places", source="scenes", order_only=True),
    Limit(
        name="attributes",
        title="Which attribute is whose",
        asks="the colours or sizes of two things change places",
        source="scenes",
        order_only=True,
    ),
    Limit(
        name="negation",
        title="Negation",
        asks="what is there and what is not change places",
        source="scenes",
        order_only=True,
    ),
    Limit(name="strangers", title="Other groups", asks="the name is of another group (a control)", source="bundled"),
    Limit(name="siblings", title="Siblings", asks="the name is of the same subgroup", source="bundled"),
    Limit(name="frequent", title="Frequent names", asks="two names of the third most frequent", source="bundled"),
    Limit(name="rare", title="Rare names", asks="two names of the third least frequent", source="bundled"),
    Limit(name="concrete", title="Concrete names", asks="two names of things that can be counted", source="bundled"),
    Limit(name="abstract", title="Abstract names", asks="two names of signs or feelings", source="bundled"),
)


def all_trials(count: int, *, split: str = "seen", seed: int = 0) -> dict[str, list[Trial]]:
    """Limit -> up to `count` trials each, the same for the same arguments.

    split: of the scenes; from the bundled set always the concepts of its test split. Raises UsageError.
    """
    if count < 1:
        raise UsageError(f"limits cannot be measured on {count} trials; give at least 1")
    return {**scene_trials(Scenes(split, seed=seed), count), **bundled_trials(count, seed)}


def scene_trials(scenes: Scenes, count: int) -> dict[str, list[Trial]]:
    """The trials on scenes; a scene gives at most one to each limit."""
    trials: dict[str, list[Trial]] = {limit.name: [] for limit in LIMITS if limit.source == "scenes"}
    for scene in scenes.stream():
        picture = Image.fromarray(scene.picture)
        for name, true, false in _told_apart(scene):
            if len(trials[name]) < count:
                trials[name].append(Trial(picture, true, false, f"scene {scene.number}"))
        full = all(len(found) == count for found in trials.values())
        if full or scene.number + 1 >= _MOST_SCENES * count:
            return trials
    return trials


def _told_apart(scene: Scene) -> Iterator[tuple[str, str, str]]:
    """(limit, true, false) of one scene."""
    captions = {caption.form: caption for caption in scene.captions}
    for form, change in _CHANGED.items():
        true = captions.get(form)
        false = None if true is None else scene.falsehood(true, change)
        if true is None or false is None:
            continue
        if form == "plain":
            yield "objects", true.text, false.text
            yield from _negated(true, false, first=scene.number % 2 == 0)
        elif form == "count":
            yield "counting", true.text, false.text
        elif form == "attribute" and _same_attributes(true) == _same_attributes(false):
            yield "attributes", true.text, false.text
        elif true.statement.relation in ("left of", "right of"):
            yield "left-right", true.text, false.text
        elif true.statement.relation in ("above", "below"):
            yield "above-below", true.text, false.text


def _same_attributes(caption: Caption) -> tuple[list[str], list[str]]:
    said = caption.statement.mentions
    return sorted(mention.colour for mention in said), sorted(mention.size for mention in said)


def _negated(true: Caption, false: Caption, first: bool) -> Iterator[tuple[str, str, str]]:
    """ "a cat but not a dog" or, so that whatever is said first is no clue, "not a dog but a cat"; and with the two
    changed about. The dog is what the false caption has and the true one has not."""
    here = [mention.concept for mention in true.statement.mentions if not mention.several]
    known = {mention.concept for mention in true.statement.mentions}
    gone = [mention.concept for mention in false.statement.mentions if mention.concept not in known]
    if here and gone:
        names = load_pool().names
        one, other = (f"{article(names[each])} {names[each]}" for each in (here[0], gone[0]))
        form = "{0} but not {1}" if first else "not {1} but {0}"
        yield "negation", form.format(one, other), form.format(other, one)


def bundled_trials(count: int, seed: int = 0) -> dict[str, list[Trial]]:
    """The trials on single bundled pictures of test concepts, flags and keys left out, by their English names."""
    rows = [row for row in bundled_table().split("test").rows if _is_named(row)]
    frequent, rare = _by_frequency(rows)
    concrete = [row for row in rows if is_countable(row.attributes["label"], *_kind(row))]
    abstract = [row for row in rows if row.attributes["group"] in ("Symbols", "Smileys & Emotion")]

    def other_group(one: Row, other: Row) -> bool:
        return one.attributes["group"] != other.attributes["group"]

    def other_subgroup(one: Row, other: Row) -> bool:
        return _kind(one) != _kind(other)

    def same_subgroup(one: Row, other: Row) -> bool:
        return _kind(one) == _kind(other) and one.pair != other.pair

    wanted: Mapping[str, tuple[list[Row], Callable[[Row, Row], bool]]] = {
        "strangers": (rows, other_group),
        "siblings": (rows, same_subgroup),
        "frequent": (frequent, other_subgroup),
        "rare": (rare, other_subgroup),
        "concrete": (concrete, other_subgroup),
        "abstract": (abstract, other_subgroup),
    }
    return {name: _paired(rows, fits, count, Random(f"{seed} {name}")) for name, (rows, fits) in wanted.items()}


def _is_named(row: Row) -> bool:
    return row.attributes["group"] not in ("Flags", "Component") and row.attributes["subgroup"] != "keycap"


def _kind(row: Row) -> tuple[str, str]:
    return row.attributes["group"], row.attributes["subgroup"]


def _paired(rows: list[Row], fits: Callable[[Row, Row], bool], count: int, random: Random) -> list[Trial]:
    """Pictures in random order, each with the name of a random other one that `fits`."""
    trials = []
    for row in random.sample(rows, len(rows)):
        names = sorted({other.attributes["label"] for other in rows if fits(row, other)})
        if names and len(trials) < count:
            trials.append(Trial(row.picture.image(), row.attributes["label"], random.choice(names), row.pair))
    return trials


def _by_frequency(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """The rows of the third of names with the most frequent words, and of the third with the least frequent."""
    ranked: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        ranked[rarity(row.attributes["label"])].append(row)
    ordered = [row for rank in sorted(ranked) for row in ranked[rank]]
    third = len(ordered) // 3
    return ordered[:third], ordered[-third:]


def rarity(name: str) -> int:
    """The place of a name's rarest word in BERT's list of words, which begins with the most frequent ones of its books
    and Wikipedia (Devlin et al. 2019); a word that is not whole in the list comes after all of them."""
    places = _places()
    return max((places.get(word, len(places)) for word in re.findall(r"\w+", name.lower())), default=len(places))


@lru_cache(maxsize=1)
def _places() -> dict[str, int]:
    words = (packaged_text_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return {word: place for place, word in enumerate(words)}
