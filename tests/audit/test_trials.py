"""Trials: the true sentence is true, the false one false, and they differ in what they should."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from amodal.audit import LIMITS, Trial, all_trials, bundled_trials, scene_trials
from amodal.audit.trials import rarity
from amodal.core.errors import UsageError
from amodal.data.emoji import bundled_table
from amodal.data.scenes import COLOURS, Scene, Scenes, load_pool
from amodal.data.scenes.nouns import plural
from amodal.data.scenes.truth import size_word

COUNT = 60
NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4}


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return Scenes("seen", seed=0)


@pytest.fixture(scope="module")
def trials(scenes: Scenes) -> dict[str, list[Trial]]:
    return scene_trials(scenes, COUNT)


def true_of(scene: Scene, sentence: str) -> bool:
    """Reads the sentence, knows the boxes, and has no part of the generator's own judgement."""
    relation = re.split(r" (left of|right of|above|below) ", sentence)
    if len(relation) == 3:
        axis = 0 if relation[1] in ("left of", "right of") else 1
        first, second = (middle(scene, name, axis) for name in (relation[0], relation[2]))
        return first < second if relation[1] in ("left of", "above") else first > second
    parts = re.fullmatch(r"(.*) but not (.*)|not (.*) but (.*)", sentence)
    if parts is not None:
        here, gone = (parts[1], parts[2]) if parts[1] else (parts[4], parts[3])
        return bool(named(scene, here)) and not named(scene, gone)
    return all(mentioned(scene, part) for part in re.split(r", | and ", sentence))


def named(scene: Scene, words: str) -> list[int]:
    names, noun = load_pool().names, re.sub(r"^(a|an|one|two|three|four) ", "", words)
    return [n for n, thing in enumerate(scene.things) if noun in (names[thing.concept], plural(names[thing.concept]))]


def middle(scene: Scene, words: str, axis: int) -> float:
    [place] = named(scene, words)
    box = scene.things[place].box
    return box[axis] + box[axis + 2]


def mentioned(scene: Scene, words: str) -> bool:
    first, _, rest = words.partition(" ")
    count, noun = (NUMBERS[first], rest) if first in NUMBERS else (0, words)
    size = next((size for size in ("big", "small") if noun.startswith(f"{size} ")), "")
    noun = noun.removeprefix(f"{size} ")
    colour = next((colour for colour in COLOURS if noun.startswith(f"{colour} ")), "") if not named(scene, noun) else ""
    things = [scene.things[place] for place in named(scene, noun.removeprefix(f"{colour} "))]
    right = len(things) == count if count else len(things) > 1
    right = right and all(thing.colour == colour for thing in things if colour)
    return right and (not size or size_word(things, scene.size) == size)


def each(trials: dict[str, list[Trial]]) -> Iterator[tuple[str, Trial]]:
    return ((name, trial) for name, found in trials.items() for trial in found)


def test_a_reader_who_knows_the_boxes_agrees(scenes: Scenes, trials: dict[str, list[Trial]]) -> None:
    assert {name: len(found) for name, found in trials.items()} == dict.fromkeys(trials, COUNT)
    for name, trial in each(trials):
        scene = scenes[int(trial.group.removeprefix("scene "))]
        assert np.array_equal(np.asarray(trial.picture), scene.picture)
        assert true_of(scene, trial.true), (name, trial)
        assert not true_of(scene, trial.false), (name, trial)


def test_where_only_the_order_tells_the_words_are_the_same(trials: dict[str, list[Trial]]) -> None:
    def words(text: str) -> list[str]:
        return sorted(text.replace(",", "").split())

    order_only = {limit.name for limit in LIMITS if limit.order_only}
    assert order_only == {"left-right", "above-below", "attributes", "negation"}
    for name, trial in each(trials):
        assert (words(trial.true) == words(trial.false)) == (name in order_only), (name, trial)


def test_negation_is_said_first_and_last_alike(trials: dict[str, list[Trial]]) -> None:
    first = sum(trial.true.startswith("not ") for trial in trials["negation"])
    assert COUNT // 4 < first < 3 * COUNT // 4


def test_bundled_names_are_of_the_kind_that_the_limit_says() -> None:
    found = bundled_trials(80)
    rows = {row.attributes["label"]: row for row in bundled_table().split("test").rows}
    kind = {name: (row.attributes["group"], row.attributes["subgroup"]) for name, row in rows.items()}
    assert all(len(trials) == 80 for trials in found.values())
    for name, trial in each(found):
        assert trial.true != trial.false
        assert (kind[trial.true] == kind[trial.false]) == (name == "siblings")
        if name == "strangers":
            assert kind[trial.true][0] != kind[trial.false][0]
        if name == "abstract":
            assert {kind[trial.true][0], kind[trial.false][0]} <= {"Symbols", "Smileys & Emotion"}
    rare, frequent = ({text for trial in found[name] for text in trial[1:3]} for name in ("rare", "frequent"))
    assert min(map(rarity, rare)) > max(map(rarity, frequent))


def test_rarity_is_that_of_the_rarest_word() -> None:
    assert rarity("house") < rarity("dog") < rarity("saxophone") < rarity("moai")
    assert rarity("Dog in the house") == rarity("dog")
    assert rarity("moai") == rarity("xylograph") == 30_522  # neither is a whole word of the list


def test_the_same_arguments_give_the_same_trials() -> None:
    one, again, other = (all_trials(4, seed=seed) for seed in (3, 3, 4))
    assert list(one) == [limit.name for limit in LIMITS]

    def said(trials: dict[str, list[Trial]]) -> list[tuple[str, str, bytes]]:
        return [(trial.true, trial.false, as_bytes(trial.picture)) for _, trial in each(trials)]

    assert said(one) == said(again) != said(other)


def as_bytes(picture: Image.Image) -> bytes:
    return picture.tobytes()


def test_no_trials_are_refused() -> None:
    with pytest.raises(UsageError, match="0 trials; give at least 1"):
        all_trials(0)
    with pytest.raises(UsageError, match="no split 'gone'"):
        all_trials(1, split="gone")
