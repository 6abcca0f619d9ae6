"""A run judged again, on its own test split or on any source."""

from collections.abc import Callable
from pathlib import Path

import torch

from amodal.core.errors import UsageError
from amodal.data.rows import Table
from amodal.data.sources import open_table
from amodal.evaluation import templates_for
from amodal.features import FeatureCache
from amodal.metrics import Figure
from amodal.recipes.catalogue import read_recipe
from amodal.recipes.foreign import is_foreign, load_any_model
from amodal.recipes.judge import judge
from amodal.recipes.pairs import judged_pairs
from amodal.recipes.scene_run import evaluate_scenes
from amodal.recipes.scene_schema import SceneRecipe
from amodal.recipes.schema import Recipe
from amodal.recipes.streamed import judged_tables
from amodal.runs import RunFolder


def evaluate_run(
    run: str | Path,
    *,
    data: str = "",
    split: str = "",
    templates: str = "",
    candidates: int | None = None,
    device: torch.device,
    cache: FeatureCache,
    say: Callable[[str], None],
) -> dict[str, Figure]:
    """The figures of a run on `data`, or on the test split of what it was trained on. Raises AmodalError.

    run: its folder, or any other model that `load_any_model` opens, on `data` only.
    split: one of the source's, by default test where there is one, else all rows; templates and candidates: in place
    of the recipe's. Inputs that cannot be used are told by `say`.
    """
    if not is_foreign(run):
        folder = RunFolder.open(run)
        written = read_recipe(str(folder.recipe))
        if isinstance(written, SceneRecipe):
            if data or templates or candidates is not None:
                raise UsageError(f"{run} learnt from scenes and is judged on their splits; give --split alone")
            return evaluate_scenes(written, folder, split=split, device=device, cache=cache)
    loaded = load_any_model(run, device=device, cache=cache)
    table = _rows(loaded.recipe, data, split, run)
    changes: dict[str, object] = {}
    if templates:
        templates_for(templates)  # a wrong name is told before any work
        changes["templates"] = templates
    if candidates is not None or data:
        changes["candidates"] = candidates or 0
    if data:
        changes["captions"] = "all"
    evaluation = loaded.evaluation.model_copy(update=changes)
    pairs = judged_pairs(loaded.encoder, table, evaluation.captions)
    table.skipped.check()
    figures = judge(evaluation, pairs, table.classes).figures
    for entry in table.skipped.entries:
        say(f"skipped {entry.key}: {entry.reason}")
    return figures


def _rows(recipe: Recipe | None, data: str, split: str, run: str | Path) -> Table:
    if recipe is None:
        if not data:
            raise UsageError(f"{run} was not trained here and has no test split of its own; say on what: --data PATH")
        table = open_table(data)
    elif recipe.data.stream and not data:
        return judged_tables(recipe)[split or "test"]
    else:
        table = open_table(data or recipe.data.source, max_skipped=recipe.data.max_skipped)
        if not data:
            return table.with_split(recipe.training.seed, recipe.data.split).split(split or "test")
    splits = {row.attributes.get("split", "") for row in table.rows}
    if split or "test" in splits:
        return table.split(split or "test")
    return table
