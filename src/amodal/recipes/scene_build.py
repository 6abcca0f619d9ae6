"""A scene recipe's names made into towers, model and task."""

from typing import Any

import torch
from torch import nn

from amodal.data.tokenizers import load_tokenizer
from amodal.features import FeatureCache
from amodal.fusion import FUSIONS, FusionSize
from amodal.models import Fused, Heads, Reader
from amodal.recipes.scene_data import SceneSource, Towers
from amodal.recipes.scene_schema import READER, SceneRecipe, SceneTask
from amodal.tasks import Aligning, Answering, Grounded, Levels, Matching
from amodal.towers import (
    HuggingFaceTextTower,
    ImagePreprocessing,
    StageTower,
    packaged_image_network,
    packaged_text_folder,
)

CONTEXT_LENGTH = 48
TASKS: dict[str, type[Grounded]] = {"matching": Matching, "answering": Answering, "aligning": Aligning}


def scene_source(recipe: SceneRecipe, cache: FeatureCache, device: torch.device) -> SceneSource:
    """The packaged towers of a recipe, frozen, and its scenes."""
    maps = recipe.model.image
    network = packaged_image_network(maps.name)
    told: Any = network.pretrained_cfg
    preprocessing = ImagePreprocessing(size=maps.image_size, mean=tuple(told["mean"]), std=tuple(told["std"]))
    image = StageTower(network, maps.stages, preprocessing)
    text = HuggingFaceTextTower(str(packaged_text_folder()))
    for tower in (image, text):
        tower.requires_grad_(False).eval().to(device)
        tower.network.frozen_from_source = True  # never stored: it comes back from its package
    tokenizer = load_tokenizer(packaged_text_folder(), context_length=CONTEXT_LENGTH)
    return SceneSource(recipe, Towers(image, text, tokenizer, cache.path.parent / "scenes", device))


def build_fused(source: SceneSource) -> nn.Module:
    """The model of a recipe, freshly initialised but for its towers."""
    config, towers = source.recipe.model, source.towers
    answers = len(source.answers) if source.recipe.task.name == "answering" else 0
    shape = {
        "text_width": towers.text.width, "width": config.width, "heads": config.heads, "depth": config.depth,
        "grid": towers.image.grid,
    }  # fmt: skip
    if config.fusion == READER:
        parts = {"folds": towers.image.folds, "answers": answers, "dropout": config.dropout}
        reader = Reader(towers.image, towers.text, **shape, **parts)
        freeze_idle(reader, source.recipe.task)
        return reader
    fusion = FUSIONS[config.fusion](FusionSize(image_width=towers.image.width, **shape))
    return Fused(towers.image, towers.text, fusion, Heads(config.width, answers))


def build_scene_task(recipe: SceneRecipe) -> Grounded:
    """The task of a recipe."""
    return TASKS[recipe.task.name](Levels(**recipe.task.levels.model_dump()))


def freeze_idle(reader: Reader, task: SceneTask) -> None:
    """Parts that no loss of the task reaches stay as they are."""
    idle: list[nn.Module] = [] if task.levels.whole else [reader.image_whole, reader.text_whole]
    if task.name == "aligning":
        idle += [
            reader.contents,
            reader.reading,
            reader.agreeing,
            reader.comparing,
            reader.words,
            reader.layers,
            reader.norm,
            reader.heads,
        ]
    for part in idle:
        part.requires_grad_(False)
