"""Recipes by name or file: read, extended by one base, overridden by key=value."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from amodal.core.errors import RecipeError, RunError
from amodal.core.files import atomic_write
from amodal.recipes.scene_schema import SceneRecipe, parse_scene_recipe
from amodal.recipes.schema import Recipe, parse_recipe
from amodal.runs import RunFolder
from amodal.search import PACKAGED_NAME

FOLDER = Path(__file__).parent
SCENES = "scenes"
"""The source of recipes that learn from scenes."""

PACKAGED = FOLDER.parent / "inference" / "default"
"""The run that comes with the package."""


def recipe_names() -> list[str]:
    """The shipped recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def recipe_path(name: str) -> Path:
    """The file of a shipped recipe, or the path given. Raises RecipeError with the nearest name."""
    if name in recipe_names():
        return FOLDER / f"{name}.yaml"
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise RecipeError(f"there is no recipe file {path}")
    near = difflib.get_close_matches(name, recipe_names(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise RecipeError(f"no recipe {name!r}; {hint}there are {', '.join(recipe_names())}; or give a .yaml file")


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe for pairs; see `read_recipe`. Raises RecipeError, also for one that learns from scenes."""
    recipe = read_recipe(name, overrides)
    if isinstance(recipe, SceneRecipe):
        raise RecipeError(f"{name} learns from scenes and gives no vectors of pairs; take a recipe for pairs here")
    return recipe


def read_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe | SceneRecipe:
    """A recipe with its base (`extends`, one level) and overrides of the form "training.epochs=3" laid over it.

    Values are YAML: 3, 1e-3, true, [0, 1], text. A recipe with a `start` has the model of that run. Raises
    RecipeError, and RunError for a start that is no run.
    """
    path = recipe_path(name)
    values = _read(path)
    base = values.pop("extends", None)
    if base is not None:
        beside = path.parent / str(base)  # a file is looked for beside the recipe that names it
        inherited = _read(recipe_path(str(beside if beside.is_file() else base)))
        if "extends" in inherited:
            raise RecipeError(f"{path}: {base} itself extends {inherited['extends']}; a base may not have a base")
        values = _merge(inherited, values)
    for override in overrides:
        values = _merge(values, read_override(override))
    place = str(path) if path.parent != FOLDER else f"recipe {name}"
    values = _started(values, place)
    if isinstance(values.get("data"), dict) and values["data"].get("source") == SCENES:
        return parse_scene_recipe(values, place)
    return parse_recipe(values, place)


def write_recipe(recipe: Recipe | SceneRecipe, path: Path) -> None:
    """The whole recipe with every default filled in, as YAML, atomically."""
    atomic_write(path, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path} holds no mapping of keys to values")
    return values


def read_override(text: str) -> dict[str, Any]:
    """What "training.epochs=3" says, as nested values. Raises RecipeError."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {text!r} is not of the form key=value, as in --set training.epochs=3")
    try:
        nested: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {text!r}: the value is not YAML ({error})") from error
    if isinstance(nested, str):
        try:  # YAML 1.1 reads 1e-3 as text; people mean the number
            nested = float(nested)
        except ValueError:
            nested = str(nested)
    for part in reversed(key.strip().split(".")):
        nested = {part: nested}
    return nested


def start_folder(start: str) -> RunFolder:
    """The run that a recipe starts from: its folder, or "packaged". Raises RunError for what is no run."""
    return RunFolder.open(PACKAGED if start == PACKAGED_NAME else Path(start).expanduser())


def _started(values: dict[str, Any], place: str) -> dict[str, Any]:
    """With the model of the start, where one is named; a whole model is taken as it stands, so that a finished run can
    be read wherever its start has gone."""
    start, own = values.get("start"), values.get("model") or {}
    if not start or not isinstance(start, str) or not isinstance(own, dict):
        return values
    if all(isinstance(own.get(side), dict) and "tower" in own[side] for side in ("image", "text")):
        return values
    folder = start_folder(start)
    if not folder.recipe.exists() or not folder.weights.exists():
        raise RunError(f"{place}: start: {start} has no trained model yet; go on with: amodal train --resume {start}")
    begun = read_recipe(str(folder.recipe))
    if isinstance(begun, SceneRecipe):
        raise RecipeError(f"{place}: start: {start} learnt from scenes and gives no vectors of pairs; name another run")
    return {**values, "model": _merge(begun.model.model_dump(mode="json"), own)}


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
