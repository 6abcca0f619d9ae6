"""A run that learns further from the model of another one: its heads do, its towers stay as they are."""

from pathlib import Path

import torch
from torch import nn

from amodal.core.errors import RecipeError
from amodal.features import FeatureCache
from amodal.objectives import InfoNCE
from amodal.recipes.build import Built, build_model
from amodal.recipes.catalogue import start_folder
from amodal.recipes.load import Loaded, load_run
from amodal.recipes.schema import Recipe
from amodal.runs import RunFolder
from amodal.search import PACKAGED_NAME


def build_from_start(recipe: Recipe, folder: RunFolder, begun: Loaded, cache: FeatureCache) -> Built:
    """The model of a recipe with frozen towers and the weights of its start; the run gets the start's tokenizer and
    what its towers are made from. begun: what `load_start` gave.

    Raises RecipeError when the recipe's `model` is not of the start's shape.
    """
    start = start_folder(recipe.start)
    described = start.read_config().get("towers", {})
    built = build_model(recipe.model, cache=cache, tokenizer=start.tokenizer, described=described)
    for tower in (built.model.image_tower, built.model.text_tower):
        tower.requires_grad_(False)
    restore(built.model, begun.encoder.model, recipe.start)
    if not folder.tokenizer.exists():
        built.tokenizer.save(folder.tokenizer)
        folder.write_config({"towers": described})
    return built


def load_start(recipe: Recipe, device: torch.device, cache: FeatureCache) -> Loaded:
    """The model that a recipe starts from, as it is there. Raises RunError when that is no finished run of pairs."""
    return load_run(start_folder(recipe.start).path, device=device, cache=cache)


def absolute_start(start: str) -> str:
    """The same start for a process in any folder."""
    return start if start == PACKAGED_NAME else str(Path(start).expanduser().absolute())


def begin_scale(task: nn.Module, logit_scale: float) -> None:
    """InfoNCE goes on from the start's temperature; other objectives keep their own beginning."""
    if isinstance(objective := getattr(task, "objective", None), InfoNCE):
        nn.init.constant_(objective.logit_scale, logit_scale)


def restore(model: nn.Module, begun: nn.Module, start: str) -> None:
    """Puts the state of the start's model into another. Raises RecipeError when it does not fit."""
    own, given = model.state_dict(), begun.state_dict()
    for name in own.keys() | given.keys():
        if name not in own or name not in given or own[name].shape != given[name].shape:
            raise RecipeError(
                f"model: {name} is not as {start} has it; a run that starts from another keeps its towers and widths"
            )
    model.load_state_dict(given)
