"""Numbers and splits: the same scene for whoever asks, and what training never shows."""

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from amodal.core.errors import UsageError
from amodal.data.scenes import SPLITS, Scene, Scenes, load_pool, scene_record

POOL = load_pool()
TRAINED = ("train", "validation", "seen")
HELD_OUT = {"left of": (0, 2), "above": (1, 3)}


def digest(scene: Scene) -> str:
    told = json.dumps(scene_record(scene)).encode()
    return hashlib.sha256(scene.picture.tobytes() + scene.owner.tobytes() + told).hexdigest()


class Digests(Dataset[str]):
    """Scenes as their hashes, for workers."""

    def __init__(self, number: int) -> None:
        self.scenes = Scenes("train", seed=4, count=number)

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, number: int) -> str:
        return digest(self.scenes[number])


def test_the_same_whatever_the_order_and_the_number_of_workers() -> None:
    asked = Digests(24)
    once = [asked[number] for number in range(24)]
    assert len(set(once)) == 24
    assert [asked[number] for number in reversed(range(24))] == once[::-1]
    for workers in (0, 2):
        batches = DataLoader(asked, batch_size=5, num_workers=workers, collate_fn=list)
        assert [each for batch in batches for each in batch] == once
    streams = [list(asked.scenes.stream(start, 3)) for start in range(3)]
    assert [digest(streams[number % 3][number // 3]) for number in range(24)] == once


def test_the_same_in_another_process() -> None:
    program = (
        "import hashlib; from amodal.data.scenes import Scenes; s = Scenes('seen', seed=2);"
        "print(*[hashlib.sha256(s[n].picture.tobytes() + s[n].captions[-1].text.encode()).hexdigest() for n in (5, 0)])"
    )
    scenes = Scenes("seen", seed=2)
    here = [
        hashlib.sha256(scenes[n].picture.tobytes() + scenes[n].captions[-1].text.encode()).hexdigest() for n in (5, 0)
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == here


def test_language_changes_words_and_no_pixel() -> None:
    english, german = Scenes(seed=1)[7], Scenes(seed=1, language="de")[7]
    assert (english.picture == german.picture).all()
    assert [caption.statement for caption in english.captions] == [caption.statement for caption in german.captions]
    assert english.captions[0].text != german.captions[0].text


def test_seeds_and_splits_share_no_scene() -> None:
    sources = [Scenes(split, seed=seed) for split in SPLITS for seed in (0, 1)]
    pictures = [source[number].picture.tobytes() for source in sources for number in range(25)]
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize(
    ("split", "side"),
    [
        ("train", "train"),
        ("validation", "train"),
        ("seen", "train"),
        ("validation-concepts", "validation"),
        ("held-out-concepts", "test"),
        ("held-out-combinations", "train"),
    ],
)
def test_each_split_names_and_shows_concepts_of_one_side(split: str, side: str) -> None:
    for scene in Scenes(split, count=60).stream():
        said = [caption.statement for caption in scene.captions]
        said += [false.caption.statement for false in scene.falsehoods]
        named = {mention.concept for statement in said for mention in statement.mentions}
        named |= {concept for question in scene.questions for concept in question.asked.concepts}
        assert {POOL.split[concept] for concept in named | {thing.concept for thing in scene.things}} == {side}


def shown(scene: Scene) -> set[str]:
    """The kinds of held-out combination that the scene shows, from its boxes and masks."""
    found = set()
    concepts = [thing.concept for thing in scene.things]
    areas = scene.masks.sum(axis=(1, 2))
    if POOL.held_pairs[np.ix_(concepts, concepts)].any():
        found.add("pair")
    if any(POOL.held_counts[concept, concepts.count(concept)] for concept in concepts):
        found.add("count")
    boxes = np.array([thing.box for thing in scene.things])
    for relation, (low, high) in HELD_OUT.items():
        middle = (boxes[:, low] + boxes[:, high]) / 2
        ahead = middle[None] - middle[:, None] >= 0.12 * scene.size
        ahead &= (middle[:, None] <= boxes[None, :, low]) & (middle[None] >= boxes[:, None, high])
        if (ahead & POOL.held_relations[relation][np.ix_(concepts, concepts)]).any():
            found.add(relation)
    sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    bigger = (sides[:, None] >= 1.3 * sides[None]) & (areas[:, None] >= 1.3 * areas[None])
    if (bigger & POOL.held_relations["bigger than"][np.ix_(concepts, concepts)]).any():
        found.add("bigger than")
    return found


def named(scene: Scene) -> set[str]:
    """The kinds of held-out combination that any sentence names, true or false, question or caption."""
    found = set()
    said = [caption.statement for caption in scene.captions] + [each.caption.statement for each in scene.falsehoods]
    told = [([mention.concept for mention in each.mentions], each.relation) for each in said]
    told += [(list(each.asked.concepts), each.asked.relation) for each in scene.questions]
    for concepts, relation in told:
        if POOL.held_pairs[np.ix_(concepts, concepts)].any():
            found.add("pair")
        if relation in ("right of", "below"):
            concepts, relation = concepts[::-1], {"right of": "left of", "below": "above"}[relation]
        if relation in POOL.held_relations and POOL.held_relations[relation][concepts[0], concepts[1]]:
            found.add(relation)
    mentions = [mention for statement in said for mention in statement.mentions]
    if any(POOL.held_counts[mention.concept, mention.count] for mention in mentions):
        found.add("count")
    return found


@pytest.mark.parametrize("split", TRAINED)
def test_training_neither_shows_nor_names_a_held_out_combination(split: str) -> None:
    for scene in Scenes(split, seed=8, count=300).stream():
        assert not shown(scene), scene.number
        assert not named(scene), scene.number


def test_every_scene_of_the_held_out_combinations_shows_one_and_says_which() -> None:
    kinds = set()
    for scene in Scenes("held-out-combinations", count=120).stream():
        assert scene.novelty is not None
        kinds.add(scene.novelty.kind)
        assert scene.novelty.kind in shown(scene)
        if scene.novelty.kind in POOL.held_relations:
            relation = next(caption for caption in scene.captions if caption.form == "relation").statement
            assert {mention.concept for mention in relation.mentions} == set(scene.novelty.concepts)
    assert kinds == {"pair", "count", *POOL.held_relations}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "test"}, "no split 'test'"),
        ({"size": 8}, "8 pixels"),
        ({"language": "xx"}, "no language 'xx'"),
        ({"grammar_of": "fr"}, "no grammar 'fr'"),
    ],
)
def test_what_cannot_be_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Scenes(**options)


def test_length_and_end() -> None:
    with pytest.raises(TypeError, match="endless"):
        len(Scenes())
    three = Scenes(count=3)
    assert (len(three), len(list(three.stream()))) == (3, 3)
    with pytest.raises(IndexError, match="0 to 2"):
        three[3]


@pytest.mark.parametrize("size", [32, 96, 256])
def test_any_size(size: int) -> None:
    for scene in Scenes(size=size, count=12).stream():
        assert scene.picture.shape == (size, size, 3)
        assert scene.captions
