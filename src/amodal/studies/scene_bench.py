"""What studies on scenes train: fused models over the kept maps of a frozen packaged tower, judged line by line.

N trials, questions or phrases · T trials
"""

import time
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np
import torch
from pydantic import Field
from torch import nn

from amodal.core.seeds import generator_for
from amodal.evaluation import phrase_scores
from amodal.features import SceneBatches, SceneLines
from amodal.metrics import preferred
from amodal.models import Reader
from amodal.recipes.catalogue import read_recipe
from amodal.recipes.scene_build import build_fused, build_scene_task, scene_source
from amodal.recipes.scene_data import SceneSource
from amodal.recipes.scene_run import LineScores, line_scores, located
from amodal.recipes.scene_schema import SceneRecipe
from amodal.recipes.settings import settings
from amodal.studies.study import Place, StudyConfig
from amodal.training import Hooks, bytes_per_pair, train

BASE = (
    "model.image.image_size=128",
    "data.validation=2",
    "training.batch_size=32",
    "training.learning_rate=0.002",
    "training.warmup=1",
)
"""Over the recipes `matching` and `answering`: maps of 4 x 4 places, 8 x 8 of the finest stage, cheap to learn from."""
SPLIT = "seen"
MATCHING = "matching"
METHOD = (
    "Fused models on the maps of a frozen EfficientNet-Lite0 at 128 pixels (8 x 8 places of its third stage and 4 x 4 "
    "of its last) and the word states of a frozen MiniLM. Scenes of the training split; judged on other scenes of the "
    "same concepts, which nothing was chosen by. All settings of one seed share the order of scenes; the last weights "
    "are taken."
)


class SceneConfig(StudyConfig):
    """What studies on scenes may be told. scenes: to train on; judged: to judge on."""

    scenes: int = Field(default=2000, ge=2)
    judged: int = Field(default=400, ge=2)
    epochs: int = Field(default=4, ge=1)


class SceneBench:
    """Scenes and what the towers said of them, computed once; each `model` is fresh."""

    def __init__(self, place: Place, config: SceneConfig) -> None:
        self.place, self.config = place, config

    def recipe(self, job: str, overrides: Sequence[str] = ()) -> SceneRecipe:
        """The recipe of one training. job: a recipe that ships, `matching` or `answering`."""
        sizes = (f"data.train={self.config.scenes}", f"data.judged={self.config.judged}")
        epochs = f"training.epochs={self.config.epochs}"
        recipe = read_recipe(job, [*BASE, *sizes, epochs, *overrides])
        if not isinstance(recipe, SceneRecipe):
            raise TypeError(f"{job} is no recipe for scenes")
        return recipe

    @cached_property
    def _towers(self) -> SceneSource:
        return scene_source(self.recipe("matching"), self.place.cache, _CPU)

    def source(self, recipe: SceneRecipe) -> SceneSource:
        """The scenes of a recipe with the towers of all."""
        return SceneSource(recipe, self._towers.towers)

    @lru_cache(maxsize=8)  # noqa: B019  # a study has one bench
    def lines(self, job: str, split: str) -> SceneLines:
        """What is said of the scenes of a split."""
        return self.source(self.recipe(job)).lines(split)

    def model(self, recipe: SceneRecipe, seed: int) -> nn.Module:
        """A model that depends on nothing but the recipe and the seed."""
        source = self.source(recipe)  # making the towers draws numbers
        torch.manual_seed(generator_for(seed, "model").initial_seed())
        return build_fused(source)

    def reader(self, recipe: SceneRecipe, seed: int) -> Reader:
        """The model of a recipe whose fusion is the reader."""
        model = self.model(recipe, seed)
        if not isinstance(model, Reader):
            raise TypeError(f"{recipe.model.fusion} is no reader")
        return model

    def train(self, recipe: SceneRecipe, model: nn.Module, seed: int, name: str) -> None:
        """Trains to the end of the recipe. name: of the training, for its checkpoint."""
        known = self.lines(recipe.name, "train")
        batches = SceneBatches(known, size=recipe.training.batch_size, each=recipe.data.each, seed=seed)
        checkpoint = self.place.scratch / name
        hooks = Hooks(evaluate=lambda: {"validation/score": 0.0}, record=lambda row: None, keep_best=lambda: None)
        task = build_scene_task(recipe)
        train(task, model, batches, settings(recipe.training), hooks, checkpoint=checkpoint, device=_CPU)
        checkpoint.unlink(missing_ok=True)

    def scores(self, model: nn.Module, *, lacking: str = "") -> LineScores:
        """Of the captions of trials. lacking: the modality that no row has."""
        return line_scores(model, self.lines("matching", SPLIT), lacking=lacking)

    def trials(self, score_N: np.ndarray) -> dict[str, list[float]]:
        """ "matching" of all trials and "matching/CHANGE" of each change: 1 where the true caption scores higher, a
        half for a tie. score: one of `scores`."""
        lines = self.lines("matching", SPLIT)
        return _by_kind(MATCHING, preferred(*lines.true_and_false(score_N)), lines)

    def answers(self, model: nn.Module, *, lacking: str = "") -> dict[str, list[float]]:
        """ "answers" of all questions and "answers/KIND" of each kind: 1 where the answer is right."""
        lines = self.lines("answering", SPLIT)
        true = np.array([line.answer for line in lines.lines])
        return _by_kind("answers", line_scores(model, lines, lacking=lacking).answer_N == true, lines)

    def pointing(self, model: Reader) -> dict[str, list[float]]:
        """ "pointing" and "iou" of each phrase of the captions of trials."""
        lines = self.lines("matching", SPLIT)
        source = self.source(self.recipe("matching"))
        found = phrase_scores(located(model, lines, source.pointings(SPLIT, lines, few=True)))
        return {name: found[name].tolist() for name in ("pointing", "iou")}

    def cost(self, recipe: SceneRecipe, model: nn.Module) -> dict[str, list[float]]:
        """ "ms" an item, the least of five goes at a batch of 64 trials forward on this machine's threads, and "kB"
        that a further row keeps for the backward pass."""
        lines = self.lines("matching", SPLIT)
        batch = lines.batch(range(min(64, len(lines.lines))))
        taken = []
        with torch.inference_mode():
            for _ in range(5):
                started = time.perf_counter()
                model.eval()(batch)
                taken.append(time.perf_counter() - started)
        kept = bytes_per_pair(build_scene_task(recipe), model.train(), batch)
        return {"ms": [1000 * min(taken) / len(batch)], "kB": [kept / 1000]}


_CPU = torch.device("cpu")  # the same figures everywhere


def _by_kind(name: str, right_N: np.ndarray, lines: SceneLines) -> dict[str, list[float]]:
    kinds = np.array(lines.kinds)
    parts: Mapping[str, np.ndarray] = {f"{name}/{kind}": right_N[kinds == kind] for kind in sorted(set(kinds))}
    return {key: value.astype(float).tolist() for key, value in {name: right_N, **parts}.items()}
