"""Recipes by name or file: overrides, one base, and every shipped one."""

from pathlib import Path

import pytest

import amodal.recipes.catalogue as module
from amodal.core.errors import RecipeError
from amodal.recipes import load_recipe, read_recipe, recipe_names, recipe_path, write_recipe

SHIPPED = sorted(Path(module.__file__).parent.glob("*.yaml"))
LEAST = """
name: least
model:
  image: {tower: packaged, name: lite0, trainable: false}
  text: {tower: packaged, trainable: false}
training: {epochs: 3, batch_size: 8, learning_rate: 1e-3}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(LEAST)
    return path


def test_shipped_recipes_are_found() -> None:
    assert len(SHIPPED) >= 1
    assert recipe_names() == [path.stem for path in SHIPPED]
    assert "transfer" in recipe_names()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_parses_and_can_be_written(path: Path, tmp_path: Path) -> None:
    recipe = read_recipe(path.stem)
    assert recipe.name == path.stem
    assert recipe.about
    assert recipe.needs
    assert recipe.cost
    write_recipe(recipe, tmp_path / "r.yaml")
    assert read_recipe(str(tmp_path / "r.yaml")) == recipe
    assert read_recipe(path.stem, ["training.epochs=1"]).training.epochs == 1


def test_a_deliberately_bad_recipe_fails(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(SHIPPED[0].read_text() + "\nsurplus: 1\n")
    with pytest.raises(RecipeError, match="unknown key surplus"):
        load_recipe(str(bad))


def test_overrides(mine: Path) -> None:
    given = [
        "training.epochs=7",
        "training.learning_rate=1e-4",
        "model.image.views=[0, 1, 2]",
        "training.betas=[0.5, 0.7]",
        "model.text.source=a=b",
        "training.augment.flip=false",
        "data.source=my pictures",
        "training.epochs=9",
    ]
    recipe = load_recipe(str(mine), given)
    assert recipe.training.epochs == 9  # the later one
    assert recipe.training.learning_rate == 1e-4
    assert recipe.model.image.views == [0, 1, 2]
    assert recipe.training.betas == (0.5, 0.7)
    assert recipe.model.text.source == "a=b"
    assert recipe.training.augment.flip is False
    assert recipe.data.source == "my pictures"
    assert recipe.training.batch_size == 8  # what stands beside an override stays
    assert load_recipe(str(mine)).training.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.epochs", "is not of the form key=value"),
        ("=3", "is not of the form key=value"),
        ("training.epochs=[1", "the value is not YAML"),
        ("training.epoch=3", "did you mean epochs?"),
        ("training.epochs=three", "training.epochs: input should be a valid integer"),
        ("name.first=3", "name: input should be a valid string"),
    ],
)
def test_wrong_overrides(mine: Path, override: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(mine), [override])
    assert said in str(caught.value)


def test_a_base_is_extended_and_what_it_says_stays(mine: Path, tmp_path: Path) -> None:
    child = tmp_path / "child.yaml"
    child.write_text("extends: mine.yaml\nname: child\ntraining: {epochs: 5}\nmodel: {image: {name: lite2}}\n")
    recipe = load_recipe(str(child), ["training.batch_size=4"])
    assert (recipe.name, recipe.training.epochs, recipe.training.batch_size) == ("child", 5, 4)
    assert (recipe.model.image.name, recipe.model.image.tower) == ("lite2", "packaged")
    assert recipe.training.learning_rate == 1e-3
    shipped = tmp_path / "shipped.yaml"
    shipped.write_text("extends: transfer\nname: own\n")
    assert load_recipe(str(shipped)).model == load_recipe("transfer").model


def test_a_base_may_not_have_a_base(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "child.yaml").write_text("extends: mine.yaml\n")
    (tmp_path / "grandchild.yaml").write_text("extends: child.yaml\n")
    with pytest.raises(RecipeError, match=r"child\.yaml itself extends mine\.yaml; a base may not have a base"):
        load_recipe(str(tmp_path / "grandchild.yaml"))
    (tmp_path / "orphan.yaml").write_text("extends: nowhere\n")
    with pytest.raises(RecipeError, match="no recipe 'nowhere'"):
        load_recipe(str(tmp_path / "orphan.yaml"))


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"no recipe 'tranfser'; did you mean transfer\? there are .*transfer.*yaml file"
    ):
        recipe_path("tranfser")
    with pytest.raises(RecipeError, match="no recipe 'qqqqqq'; there are "):
        recipe_path("qqqqqq")
    with pytest.raises(RecipeError, match="there is no recipe file"):
        recipe_path(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"- 1", "holds no mapping"),
        (b"", "holds no mapping"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=said):
        load_recipe(str(path))
