"""What a recipe may say, and how it is told what it may not."""

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from amodal.core.errors import RecipeError
from amodal.recipes import Recipe, parse_recipe

LEAST: dict[str, Any] = {
    "name": "least",
    "model": {
        "image": {"tower": "packaged", "name": "lite0", "trainable": False},
        "text": {"tower": "packaged", "trainable": False},
    },
    "training": {"epochs": 3, "batch_size": 8, "learning_rate": 0.001},
}


def with_values(**given: Any) -> dict[str, Any]:
    """LEAST with values at paths written with two underscores: training__epochs=4."""
    values = copy.deepcopy(LEAST)
    for path, value in given.items():
        part = values
        *folders, last = path.split("__")
        for name in folders:
            part = part.setdefault(name, {})
        part[last] = value
    return values


def refused(**given: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(with_values(**given), "mine.yaml")
    assert str(caught.value).startswith("mine.yaml: ")
    return str(caught.value)


def test_the_least_recipe_and_its_defaults() -> None:
    recipe = parse_recipe(LEAST, "mine.yaml")
    assert recipe.data.source == "bundled"
    assert recipe.training.betas == (0.9, 0.98)
    assert recipe.model.anchors == 0
    assert recipe.task.class_pairs is False


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("traning", "training"),
        ("training__learning_rat", "learning_rate"),
        ("training__epoch", "epochs"),
        ("model__image__pretraind", "pretrained"),
        ("model__text_head__droput", "dropout"),
        ("training__augment__fliip", "flip"),
        ("data__sorce", "source"),
    ],
)
def test_an_unknown_key_gets_the_nearest_name(path: str, nearest: str) -> None:
    said = refused(**{path: 1})
    assert f"unknown key {path.replace('__', '.')}; did you mean {nearest}?" in said


def test_an_unknown_key_like_nothing_gets_all_names() -> None:
    assert "unknown key data.zzzz; there are: source, max_skipped, split" in refused(data__zzzz=1)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("training__epochs", "many", "training.epochs: input should be a valid integer"),
        ("training__epochs", 0, "training.epochs: input should be greater than or equal to 1 (it is 0)"),
        ("training__epochs", 2.5, "training.epochs: input should be a valid integer"),
        ("training__learning_rate", -1, "training.learning_rate: input should be greater than 0"),
        ("training__batch_size", 1, "training.batch_size: input should be greater than or equal to 2"),
        ("training", 7, "training: input should be a valid dictionary"),
        ("model__image__tower", "keras", "model.image.tower: input should be 'packaged' or 'timm' (it is 'keras')"),
        ("model__image__trainable", "perhaps", "model.image.trainable: input should be a valid boolean"),
        ("model__image_head__dropout", 1.0, "model.image_head.dropout: input should be less than 1"),
        ("name", 3, "name: input should be a valid string (it is 3)"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(path: str, value: Any, said: str) -> None:
    assert said in refused(**{path: value})


def test_every_problem_is_told_at_once() -> None:
    said = refused(training__epochs=0, training__betas=[0.9], data__limit=-1)
    assert all(key in said for key in ("training.epochs", "training.betas", "data.limit"))


def test_a_missing_part_is_named() -> None:
    with pytest.raises(RecipeError, match=r"x\.yaml: .*model: field required"):
        parse_recipe({"name": "x"}, "x.yaml")


def test_class_pairs_and_conse_need_frozen_towers() -> None:
    frozen = {"task__class_pairs": True, "model__image__conse": True}
    assert parse_recipe(with_values(**frozen), "mine.yaml").task.class_pairs
    assert "set model.image.trainable: false" in refused(**frozen, model__image__trainable=True)
    assert "set model.text.trainable: false" in refused(**frozen, model__text__trainable=True)
    assert "set model.image.trainable: false" in refused(model__image__conse=True, model__image__trainable=True)
    assert "needs model.image.conse: true" in refused(task__class_pairs=True)


def test_a_regression_needs_frozen_towers() -> None:
    assert parse_recipe(with_values(model__anchors=8), "mine.yaml").model.anchors == 8
    for side in ("image", "text"):
        assert "model.anchors needs two frozen towers" in refused(
            **{"model__anchors": 8, f"model__{side}__trainable": True}
        )


def test_a_recipe_cannot_be_changed() -> None:
    recipe = parse_recipe(LEAST, "mine.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        recipe.training.epochs = 4  # pyright: ignore[reportAttributeAccessIssue]


def test_every_key_of_the_schema_survives_being_written() -> None:
    recipe = parse_recipe(with_values(training__betas=[0.5, 0.6], model__image__options={"depth": 2}), "mine.yaml")
    assert parse_recipe(recipe.model_dump(mode="json"), "again") == recipe
    assert isinstance(recipe, Recipe)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"task__objective": "sigmoid", "task__label_smoothing": 0.1},
            "task.label_smoothing has no meaning for objective",
        ),
        ({"task__objective": "decoupled", "task__doubt": 0.3}, "task.doubt has no meaning for objective decoupled"),
        ({"task__margin": 0.5}, "task.margin has no meaning for objective infonce; leave it out"),
        ({"task__objective": "triplet", "task__initial_scale": 1.0}, "task.initial_scale has no meaning"),
        ({"task__queue": 64, "task__doubt": 0.3}, "task.doubt has no meaning for objective infonce with a queue"),
        ({"task__momentum": 0.9}, "task.momentum has no meaning"),
        ({"training__gradients": "plain", "training__micro_batch": 4}, "drop one of them"),
        ({"training__shard": True, "task__queue": 8}, "goes with neither task.queue nor model.anchors"),
        ({"training__bucket": 4, "model__text__trainable": False}, "set training.bucket: 0"),
        ({"training__bucket": 4, "data__stream": True, "model__text__trainable": True}, "not go with data.stream"),
        (
            {"data__stream": True, "model__text__trainable": True, "model__image__trainable": True},
            "the bundled set is none; name shards with --data",
        ),
        ({"task__objective": "clip"}, "task.objective: input should be 'infonce', 'decoupled', 'sigmoid' or 'triplet'"),
    ],
)
def test_settings_that_have_no_meaning_together_are_named(values: dict[str, Any], said: str) -> None:
    assert said in refused(**values)
