"""Recipes that learn from scenes: each runs at its smallest, is judged again the same, goes on after a stop, and what
does not fit is told."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from amodal.core.errors import RecipeError, RunError, UsageError
from amodal.core.ranks import Ranks
from amodal.evaluation import Located, enlarged, grounding
from amodal.features import FeatureCache
from amodal.models import Reader
from amodal.recipes import Finished, evaluate_run, load_recipe, read_recipe, recipe_names, run_recipe, scene_erasing
from amodal.recipes.scene_build import scene_source
from amodal.recipes.scene_data import JUDGED_BY
from amodal.recipes.scene_erasing import CELLS
from amodal.recipes.scene_run import load_fused
from amodal.recipes.scene_schema import SceneRecipe
from amodal.runs import History, RunFolder, read_card

CPU = torch.device("cpu")
Made = Callable[[str], Finished]
SCENES = [name for name in recipe_names() if isinstance(read_recipe(name), SceneRecipe)]


def made(recipe: SceneRecipe, out: Path, **options: Any) -> Finished:
    return run_recipe(recipe, out, device=CPU, cache=FeatureCache(), say=lambda line: None, **options)


class Two(Ranks):
    """As if there was another process."""

    count = 2


def test_there_are_three() -> None:
    assert {"matching", "answering", "ground-weak"} == set(SCENES)


@pytest.mark.parametrize("name", SCENES)
def test_every_recipe_runs_at_its_smallest_and_is_judged_again_the_same(name: str, scene_run: Made) -> None:
    done = scene_run(name)
    figure = {"matching": "matching/mean", "answering": "answers/all"}.get(name, "grounding/pointing")
    for split in JUDGED_BY:
        assert done.figures[f"{split}/{figure}"].n >= 6
    rows = History(done.folder.history).read()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(f"validation/{figure}" in row and f"validation-concepts/{figure}" in row for row in rows)
    card = read_card(done.folder)
    assert 0 < card.trainable_parameters < card.total_parameters
    assert card.figures == done.figures
    assert ("seen/whole/matching/mean" in done.figures) == (name == "matching")
    assert not any(finding.name.startswith("no gradient") for finding in card.findings)
    assert done.folder.report.is_file()
    again = evaluate_run(done.folder.path, device=CPU, cache=FeatureCache(), say=lambda line: None)
    assert again == done.figures
    assert json.loads(done.folder.figures.read_text())["figures"].keys() == again.keys()


@pytest.mark.parametrize("fusion", ["late-product", "co-attention", "queries"])
def test_any_fusion_takes_the_readers_place(fusion: str, scene_recipe: Callable[..., Any], tmp_path: Path) -> None:
    """And is not judged by where it finds phrases, as a reader is."""
    figures = made(scene_recipe("matching", f"model.fusion={fusion}", "training.epochs=1"), tmp_path / "run").figures
    assert figures["seen/matching/mean"].n >= 6
    assert not any("grounding" in name for name in figures)


def test_the_same_recipe_gives_the_same_weights(
    scene_run: Made, scene_recipe: Callable[..., Any], tmp_path: Path
) -> None:
    again = made(scene_recipe("matching"), tmp_path / "again")
    assert again.folder.weights.read_bytes() == scene_run("matching").folder.weights.read_bytes()


def test_what_does_not_fit_is_told(scene_run: Made, scene_recipe: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no fusion 'mixing'; there are reader, early, late-concatenation"):
        read_recipe("matching", ["model.fusion=mixing"])
    for override in ("precision=bfloat16", "bucket=4", "workers=2", "augment.words=0.1"):
        with pytest.raises(
            RecipeError, match=rf"training.{override.split('=')[0].split('.')[0]} is for recipes of pairs"
        ):
            read_recipe("matching", [f"training.{override}"])
    with pytest.raises(RecipeError, match="did you mean fusion"):
        read_recipe("matching", ["model.fusio=early"])
    with pytest.raises(RecipeError, match="every level of"):
        read_recipe("ground-weak", ["task.levels.region=0"])
    with pytest.raises(RecipeError, match="needs words with places"):
        read_recipe("ground-weak", ["model.fusion=early"])
    with pytest.raises(RecipeError, match="learns from scenes"):
        load_recipe("matching")
    with pytest.raises(UsageError, match="runs in one process"):
        made(scene_recipe("matching"), tmp_path / "many", ranks=Two())
    assert not (tmp_path / "many").exists()
    run = Path(shutil.copytree(scene_run("matching").folder.path, tmp_path / "run"))
    with pytest.raises(UsageError, match="give --split alone"):
        evaluate_run(run, data="photos", device=CPU, cache=FeatureCache(), say=lambda line: None)
    with pytest.raises(UsageError, match="no split 'test'"):
        evaluate_run(run, split="test", device=CPU, cache=FeatureCache(), say=lambda line: None)
    RunFolder(run).weights.unlink()
    with pytest.raises(RunError, match="has no weights yet"):
        evaluate_run(run, device=CPU, cache=FeatureCache(), say=lambda line: None)


def test_a_reader_is_judged_by_where_it_finds_phrases(scene_run: Made) -> None:
    figures = scene_run("matching").figures
    for split in JUDGED_BY:
        pointing, ceiling = (figures[f"{split}/grounding/{name}"] for name in ("pointing", "iou_ceiling"))
        assert pointing.chance is not None
        assert 0.02 < pointing.chance < 0.6
        assert ceiling.value > figures[f"{split}/grounding/iou"].value


def test_maps_are_judged_by_taking_places_away(scene_run: Made) -> None:
    """All that the picture says is there at one end of both curves, nothing at the other."""
    figures = scene_run("matching").figures
    for split in JUDGED_BY:
        for name in ("deletion", "insertion"):
            found = figures[f"{split}/grounding/{name}"]
            assert found.chance is not None
            assert 0 < found.value < 1
            assert found.n == 6
    assert not any("deletion" in name for name in scene_run("answering").figures)


def test_a_score_that_hangs_on_a_place_falls_with_it(scene_run: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose chance is the share of the cells of the thing that are left: its map tells more than chance."""
    run = scene_run("matching").folder
    recipe = read_recipe(str(run.path / "recipe.yaml"))
    assert isinstance(recipe, SceneRecipe)
    model, source = load_fused(recipe, run, device=CPU, cache=FeatureCache())
    lines = source.lines("seen")
    assert isinstance(model, Reader)

    class Seeing(scene_erasing._Score):
        def __call__(self, kept_KGG: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                map_GG = model(lines.batch([self.phrase.line])).phrase(0, self.phrase.words, model.grid).numpy()
            cells_GG = enlarged(map_GG, (CELLS, CELLS))
            best = cells_GG == cells_GG.max()
            return kept_KGG[:, best].mean(axis=1)

    monkeypatch.setattr(scene_erasing, "_Score", Seeing)
    found = scene_erasing.erasing(source, model, "seen", lines)
    assert found["grounding/deletion"].value == pytest.approx(0.125)
    assert found["grounding/insertion"].value == pytest.approx(0.875)


def test_the_true_maps_find_every_phrase(scene_recipe: Callable[..., Any]) -> None:
    """The covered shares in place of what a reader says: phrases, words and pixels are those of one another."""
    source = scene_source(scene_recipe("matching", "model.image.image_size=256"), FeatureCache(), CPU)
    lines, maps = source.lines("seen"), []
    for each in source.pointings("seen", lines):
        truth = lines.batch([each.line]).truth
        words = [word for word in each.words if truth["linked"][0, word]]
        cover_GG = truth["covers"][0, words].mean(dim=0).unflatten(0, (16, 16))
        maps.append(Located((20 * cover_GG - 10).numpy(), each.mask_HW, each.boxes, each.line))
    found = grounding(maps)
    assert found["grounding/pointing"].value > 0.9
    assert found["grounding/iou"].value > 0.8 * found["grounding/iou_ceiling"].value
