"""What most studies train: linear heads on the cached features of frozen packaged towers, over the bundled set.

The splits hold different concepts: what was trained on is never judged. N concepts
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from amodal.core.seeds import generator_for
from amodal.data.batches import PairBatches
from amodal.data.rows import Row, Table
from amodal.data.sources import BUNDLED, open_table
from amodal.features import Encoder
from amodal.metrics import first_match_ranks
from amodal.models import DualEncoder
from amodal.recipes import load_recipe
from amodal.recipes.build import Built, build_head, build_model, build_task
from amodal.recipes.mining import mined
from amodal.recipes.pairs import Judged, judged_pairs, training_batches
from amodal.recipes.schema import Recipe
from amodal.recipes.settings import settings
from amodal.recipes.start import begin_scale
from amodal.studies.study import Place, StudyConfig
from amodal.tasks import Contrastive
from amodal.training import Hooks, train

RECIPE = (
    "model.anchors=0",
    "model.width=256",
    "model.image_head.hidden=0",
    "model.text_head.hidden=0",
    "task.class_pairs=false",
    "training.batch_size=256",
    "training.epochs=12",
)
"""Over the recipe `demo`: two linear maps, learnt from the pairs alone in seconds."""

FEW = ("model.image.conse=false", "model.image.style=false", "model.image.image_size=64")
FEW_CONCEPTS = 24
RECALLS = (1, 5)
RECALL = "recall"
METHOD = (
    "Two linear heads on the cached features of frozen towers (EfficientNet-Lite0 at 128 pixels with its ConSE vector, "
    "MiniLM), trained on the pictures of 1,139 concepts of the bundled set and judged on the 366 test concepts, which "
    "nothing was chosen by. Recall is the mean of R@1 and R@5 in both directions among all 366. All settings of one "
    "seed share initialisation, order and dropout."
)


class BenchConfig(StudyConfig):
    """What studies on this bench may be told. few: few concepts and small pictures, for a try of seconds."""

    few: bool = False


@dataclass(frozen=True)
class Training:
    """What is trained, and on what: an encoder with fresh heads, the task with its objective, and the batches."""

    recipe: Recipe
    encoder: Encoder
    task: Any
    batches: PairBatches


class Bench:
    """Splits, towers and their features, computed once; each `train` makes fresh heads.

    few: see `BenchConfig`.
    """

    def __init__(self, place: Place, overrides: Sequence[str] = (), *, few: bool = False) -> None:
        self.place, self.few = place, few
        self.overrides = (*RECIPE, *(FEW if few else ()), *overrides)

    @cached_property
    def splits(self) -> dict[str, Table]:
        """The bundled pictures by split."""
        table = open_table(BUNDLED)
        splits = {name: table.split(name) for name in ("train", "validation", "test")}
        if not self.few:
            return splits
        return {name: replace(part, rows=first_concepts(part.rows, FEW_CONCEPTS)) for name, part in splits.items()}

    @cached_property
    def built(self) -> Built:
        """The towers."""
        return build_model(self.recipe(0, ()).model, cache=self.place.cache)

    def recipe(self, seed: int, overrides: Sequence[str]) -> Recipe:
        """The recipe of one training."""
        return load_recipe("demo", [*self.overrides, *overrides, f"training.seed={seed}"])

    def train(
        self,
        name: str,
        seed: int,
        overrides: Sequence[str] = (),
        rows: Sequence[Row] | None = None,
        begun: Training | None = None,
    ) -> Training:
        """Heads trained to the end of a recipe; the last weights are taken, so nothing is chosen.

        name: of the training, for its checkpoint; rows: in place of the training split; begun: another training, from
        whose heads and temperature this one goes on.
        """
        recipe = self.recipe(seed, overrides)
        encoder = self.fresh(recipe)
        table = self.splits["train"] if rows is None else replace(self.splits["train"], rows=list(rows))
        batches = training_batches(recipe, encoder, table)
        task, read = build_task(recipe.task, encoder.model, recipe.model.width), batches
        if begun is not None:
            encoder.model.load_state_dict(begun.encoder.model.state_dict())
            begin_scale(task, begun.task.objective.logit_scale.item())
        if recipe.mining.each and isinstance(task, Contrastive):
            task, read = mined(recipe.mining, encoder, batches, task, lambda line: None)
        checkpoint = self.place.scratch / name
        hooks = Hooks(evaluate=lambda: {"validation/score": 0.0}, record=lambda row: None, keep_best=lambda: None)
        train(task, encoder.model, read, settings(recipe.training), hooks, checkpoint=checkpoint, device=_CPU)
        checkpoint.unlink(missing_ok=True)
        return Training(recipe, encoder, task, batches)

    def fresh(self, recipe: Recipe) -> Encoder:
        """The towers with untrained heads, which depend on nothing but the seed and the widths."""
        towers, config = self.built.model, recipe.model
        torch.manual_seed(generator_for(recipe.training.seed, "heads").initial_seed())
        image_head = build_head(towers.image_tower.width, config.width, config.image_head)
        text_head = build_head(towers.text_tower.width, config.width, config.text_head)
        model = DualEncoder(towers.image_tower, towers.text_tower, image_head, text_head)
        return Encoder(model, self.built.tokenizer, self.place.cache, _CPU)

    def found(self, trained: Training, split: str) -> dict[str, list[float]]:
        """R@1, R@5 and their mean, each as one value a concept: the mean of both directions."""
        return concept_recalls(judged_pairs(trained.encoder, self.splits[split], "first"))


_CPU = torch.device("cpu")  # the same figures everywhere; heads this small gain nothing elsewhere


def concept_recalls(judged: Judged) -> dict[str, list[float]]:
    """ "R@1", "R@5" and "recall" of each concept, by groups: the mean of both directions, each over its queries."""
    image_ND, text_MD = judged.encode()
    image_group, text_group = judged.image_groups, judged.text_groups
    sides = (
        (image_group, first_match_ranks(image_ND, text_MD, image_group, text_group)),
        (text_group, first_match_ranks(text_MD, image_ND, text_group, image_group)),
    )
    figures = {}
    for k in RECALLS:
        hits = [np.bincount(group, weights=rank < k) / np.bincount(group) for group, rank in sides]
        figures[f"R@{k}"] = np.mean(hits, axis=0)
    figures[RECALL] = np.mean([figures[f"R@{k}"] for k in RECALLS], axis=0)
    return {name: values.tolist() for name, values in figures.items()}


def first_concepts(rows: Sequence[Row], count: int) -> list[Row]:
    """The rows of the first `count` pairs."""
    kept = set(list(dict.fromkeys(row.pair for row in rows))[:count])
    return [row for row in rows if row.pair in kept]
