"""Run folders read back into a model that can be used."""

from dataclasses import dataclass
from pathlib import Path

import torch

from amodal.core.errors import RunError
from amodal.features import Encoder, FeatureCache
from amodal.recipes.build import build_model, build_task
from amodal.recipes.catalogue import read_recipe
from amodal.recipes.scene_schema import SceneRecipe
from amodal.recipes.schema import EvaluationConfig, Recipe
from amodal.runs import RunFolder
from amodal.training import load_weights


@dataclass(frozen=True)
class Loaded:
    """A model, the logarithm of its inverse temperature, how it is judged, and the recipe of one that was trained
    here."""

    encoder: Encoder
    logit_scale: float
    evaluation: EvaluationConfig
    recipe: Recipe | None = None


def load_run(path: Path, *, device: torch.device, cache: FeatureCache) -> Loaded:
    """The best weights of a run; no hub is asked.

    Raises RunError when they are missing or do not fit its recipe, and for a run that learnt from scenes.
    """
    folder = RunFolder.open(path)
    if not folder.weights.exists():
        raise RunError(f"{path} has no weights yet; go on with: amodal train --resume {path}")
    recipe = read_recipe(str(folder.recipe))
    if isinstance(recipe, SceneRecipe):
        raise RunError(f"{path} learnt from scenes and gives no vectors; open it with amodal.load_fused")
    described = folder.read_config().get("towers", {})
    built = build_model(recipe.model, cache=cache, tokenizer=folder.tokenizer, described=described)
    task = build_task(recipe.task, built.model, recipe.model.width)
    load_weights(folder.weights, {"model": built.model, "task.objective": task.objective})
    encoder = Encoder(built.model.eval().to(device), built.tokenizer, cache, device)
    return Loaded(encoder, task.objective.logit_scale.item(), recipe.evaluation, recipe)
