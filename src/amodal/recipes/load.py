"""Run folders read back into a model that can be used."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from amodal.core.errors import RunError
from amodal.features import Encoder, FeatureCache
from amodal.recipes.build import build_model
from amodal.recipes.catalogue import load_recipe
from amodal.recipes.schema import Recipe
from amodal.runs import RunFolder
from amodal.training import load_learned

PACKAGED_DEFAULT = Path(__file__).parent.parent / "inference" / "default"


@dataclass(frozen=True)
class Loaded:
    """A model that was trained, and the recipe that says how."""

    encoder: Encoder
    recipe: Recipe


def load_run(path: Path, *, device: torch.device, cache: FeatureCache) -> Loaded:
    """The best weights of a run. Raises RunError when the folder holds none, or they do not fit its recipe."""
    folder = RunFolder.open(path)
    if not folder.weights.exists():
        raise RunError(f"{path} has no weights yet; go on with: amodal train --resume {path}")
    recipe = load_recipe(str(folder.recipe))
    built = build_model(recipe.model, cache=cache, tokenizer=folder.tokenizer)
    try:
        tensors = load_file(folder.weights)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{folder.weights} cannot be read ({error}); copy the run folder again") from error
    load_learned(built.model, tensors, str(folder.weights))
    return Loaded(Encoder(built.model.eval().to(device), built.tokenizer, cache, device), recipe)
