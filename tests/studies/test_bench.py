"""Recall of a concept by hand; heads that depend on the seed alone; a try of seconds beats chance."""

from pathlib import Path

import numpy as np
import pytest
import torch

from amodal.features import FeatureCache
from amodal.studies.bench import FEW_CONCEPTS, RECALL, Bench, concept_recalls
from amodal.studies.study import Place


class Known:
    """What `concept_recalls` needs of a split: two concepts, the first with two pictures and the second with one."""

    image_groups = np.array([0, 0, 1])
    text_groups = np.array([0, 1])

    def encode(self) -> tuple[np.ndarray, np.ndarray]:
        image = np.array([[1.0, 0], [0, 1], [0.6, 0.8]])  # the second picture looks like the other concept
        return image, np.array([[1.0, 0], [0, 1]])


def test_recall_of_a_concept_by_hand() -> None:
    """Concept 0: one of its two pictures finds its text, its text finds it: (1/2 + 1) / 2. Concept 1: its picture finds
    its text, but to the text the wrong picture is nearer: (1 + 0) / 2. Among so few, the first five are all."""
    found = concept_recalls(Known())  # pyright: ignore[reportArgumentType]  # the least that will do
    assert found["R@1"] == [0.75, 0.5]
    assert found["R@5"] == [1.0, 1.0]
    assert found[RECALL] == [0.875, 0.75]


@pytest.fixture(scope="module")
def bench(cache_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(Place(FeatureCache(), tmp_path_factory.mktemp("bench")), ["training.epochs=30"], few=True)


def test_splits_are_apart(bench: Bench) -> None:
    pairs = {name: {row.pair for row in table.rows} for name, table in bench.splits.items()}
    assert {len(each) for each in pairs.values()} == {FEW_CONCEPTS}
    assert not pairs["train"] & pairs["test"]
    assert not pairs["train"] & pairs["validation"]


def test_seeds_share_initialisation_whatever_the_setting(bench: Bench) -> None:
    recipe, other = bench.recipe(1, ["task.objective=triplet"]), bench.recipe(2, [])
    first, same, different = (bench.fresh(each).model.image_head for each in (recipe, bench.recipe(1, []), other))
    assert torch.equal(first.layers[1].weight, same.layers[1].weight)
    assert not torch.equal(first.layers[1].weight, different.layers[1].weight)


def test_training_learns_its_own_pairs_and_leaves_no_checkpoint(bench: Bench) -> None:
    """Chance is 0.04 at one among 24."""
    trained = bench.train("a", 0)
    untrained = bench.fresh(bench.recipe(0, []))
    assert np.mean(bench.found(trained, "train")["R@1"]) > 0.8
    assert not list(bench.place.scratch.iterdir())
    assert not torch.equal(
        trained.encoder.model.image_head.layers[1].weight, untrained.model.image_head.layers[1].weight
    )


def test_training_is_the_same_again(bench: Bench) -> None:
    rows = bench.splits["train"].rows[:20]
    first, again = (bench.train(name, 3, ["training.epochs=2"], rows) for name in "ab")
    assert torch.equal(first.encoder.model.text_head.layers[1].weight, again.encoder.model.text_head.layers[1].weight)
