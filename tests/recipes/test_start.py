"""A run that learns further from another one with mined negatives: what it keeps, what it gains, how it goes on, and
what is refused."""

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from amodal.core.errors import DataError, RecipeError, RunError, UsageError
from amodal.core.ranks import Ranks
from amodal.data.bundled import PHOTOS
from amodal.features import FeatureCache
from amodal.inference.door import DEFAULT
from amodal.recipes import Finished, load_recipe, load_run, recipe_path, resume, run_recipe
from amodal.recipes.catalogue import PACKAGED
from amodal.runs import History, RunFolder
from amodal.training import Stopped

CPU = torch.device("cpu")
SMALL = ("training.batch_size=8", "training.epochs=4", "training.learning_rate=0.01", "mining.pool=6", "mining.share=2")


def further(start: Path, shapes: Path, *settings: str) -> Any:
    return load_recipe("retrieval", [f"start={start}", f"data.source={shapes}", *SMALL, *settings])


def run(recipe: Any, out: Path, say: Callable[[str], None] = lambda line: None) -> Finished:
    return run_recipe(recipe, out, device=CPU, cache=FeatureCache(), say=say)


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def done(tiny_run: Path, shapes: Path, told: list[str], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return run(further(tiny_run, shapes), tmp_path_factory.mktemp("further") / "run", told.append)


def test_the_packaged_start_is_the_packaged_model() -> None:
    assert PACKAGED == DEFAULT
    assert load_recipe("retrieval").model == load_recipe(str(DEFAULT / "recipe.yaml")).model


def test_heads_learn_and_towers_stay(done: Finished, tiny_run: Path) -> None:
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_run, done.folder.path))
    assert before.keys() == after.keys()
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"image_head", "text_head", "objective"}
    for name in ("model.image_head.inputs.mean", "model.text_head.inputs.std"):
        assert torch.equal(before[name], after[name])  # measured once, on what the start was trained on


def test_figures_say_what_was_gained(done: Finished, told: list[str]) -> None:
    figures = json.loads((done.folder.path / "metrics.json").read_text())["figures"]
    for name in ("image_to_text/R@1", "text_to_image/R@5", "text_to_image/R@10"):
        had, gained, has = (figures[key] for key in (f"start/{name}", f"gain/{name}", name))
        assert gained["value"] == pytest.approx(has["value"] - had["value"])
        assert gained["low"] <= gained["value"] <= gained["high"]
        assert had["candidates"] == has["candidates"] == gained["candidates"]
    assert "gain, image → text, R@1" in done.folder.report.read_text()
    assert any(line.startswith("mined ") and "of 24 pairs" in line for line in told)
    rows = History(done.folder.history).read()
    assert all(row["mined"] > 0 for row in rows)


def test_the_run_stands_alone(done: Finished, tiny_run: Path, tmp_path: Path) -> None:
    """Its recipe holds the whole model, so it is opened wherever its start has gone; it can be a start itself."""
    text = done.folder.recipe.read_text().replace(str(tiny_run), str(tmp_path / "gone"))
    done.folder.recipe.write_text(text)
    try:
        loaded = load_run(done.folder.path, device=CPU, cache=FeatureCache())
    finally:
        done.folder.recipe.write_text(text.replace(str(tmp_path / "gone"), str(tiny_run)))
    assert loaded.recipe is not None
    assert loaded.recipe.start == str(tmp_path / "gone")
    assert load_recipe("retrieval", [f"start={done.folder.path}"]).model == loaded.recipe.model


def test_a_resumed_run_gives_the_same(done: Finished, tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    """Stopped in the middle of an epoch: the candidates that were mined at its beginning come back with the state."""
    recipe, seen = further(tiny_run, shapes, "training.save_every=0"), []

    def stop(line: str) -> None:
        seen.append(line)
        if line.startswith("gradients"):  # before the first step is made: it is the last one of this call
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped) as stopped:
        run(recipe, tmp_path / "run", stop)
    assert "after step 1;" in str(stopped.value)
    again: list[str] = []
    whole = resume(tmp_path / "run", device=CPU, cache=FeatureCache(), say=again.append)
    assert not any(line.startswith("mined") for line in again)  # that of the first epoch is not done twice
    files = (whole.folder.weights.read_bytes(), done.folder.weights.read_bytes())
    assert files[0] == files[1]
    assert {name: f.value for name, f in whole.figures.items()} == {name: f.value for name, f in done.figures.items()}


def test_without_mining_only_the_batch_counts(tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    told: list[str] = []
    found = run(further(tiny_run, shapes, "mining.each=0", "training.epochs=1"), tmp_path / "run", told.append)
    assert "gain/text_to_image/R@1" in found.figures
    assert not any(line.startswith("mined") for line in told)


@pytest.mark.parametrize("objective", ["triplet", "decoupled"])
def test_other_objectives_take_mined_negatives(objective: str, tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    found = run(further(tiny_run, shapes, f"task.objective={objective}", "training.epochs=1"), tmp_path / "run")
    assert History(found.folder.history).read()[0]["mined"] > 0


def photographs(folder: Path) -> Path:
    """A caption table of bundled photographs as a person would write it: two captions each, no split."""
    rows = []
    for path in sorted(PHOTOS.glob("*.jpg")):
        with Image.open(path) as picture:
            picture.resize((64, 64)).save(folder / f"{path.stem}.png")
        rows += [
            (f"{path.stem}.png", f"{kind} {path.stem.replace('-', ' ')}") for kind in ("the", "a photograph of the")
        ]
    with (folder / "mine.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("image", "caption"), *rows])
    return folder / "mine.csv"


def test_the_command_on_a_persons_table(cli: Callable[..., Any], tiny_run: Path, tmp_path: Path) -> None:
    table = photographs(tmp_path)
    settings = [word for value in (*SMALL, f"start={tiny_run}", "training.batch_size=4") for word in ("--set", value)]
    answer = cli("train", "retrieval", "--data", table, "--out", tmp_path / "run", "--json", *settings)
    assert answer.code == 0, answer.err
    figures = json.loads(answer.out)["figures"]
    assert {"start/image_to_text/R@1", "gain/image_to_text/R@1", "image_to_text/R@1"} <= figures.keys()
    assert cli("evaluate", tmp_path / "run", "--json").code == 0


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        (["start=nowhere"], RunError, "nowhere"),
        (["model.width=7"], RecipeError, "keeps its towers and widths"),
        (["mining.pool=2"], RecipeError, "must hold at least mining.each"),
        (["task.objective=sigmoid"], RecipeError, "mined negatives are for"),
        (["task.objective=triplet", "task.negatives=all"], RecipeError, "mined negatives are for"),
        (["mining.shares=0.9"], RecipeError, "did you mean share"),
        (["training.gradients=accumulated"], RecipeError, "need the whole batch"),
        (["data.source=nowhere.csv"], DataError, "does not exist"),
    ],
)
def test_wrong_input_is_told(
    settings: list[str], error: type[Exception], says: str, tiny_run: Path, shapes: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=says):
        run(further(tiny_run, shapes, *settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_start_that_learnt_from_scenes_is_refused(scene_run: Callable[[str], Any]) -> None:
    with pytest.raises(RecipeError, match="learnt from scenes"):
        load_recipe("retrieval", [f"start={scene_run('matching').folder.path}"])


def test_trained_towers_and_several_processes_are_refused(tiny_recipe: Path, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="towers that stay as they are"):
        load_recipe(str(tiny_recipe), ["mining.each=2"])
    two = Ranks()
    two.count = 2
    recipe = load_recipe("retrieval", [f"start={tiny_run}"])
    with pytest.raises(UsageError, match="one process"):
        run_recipe(recipe, tmp_path / "run", device=CPU, cache=FeatureCache(), say=lambda line: None, ranks=two)
    assert recipe_path("retrieval").exists()
    assert RunFolder(tiny_run).is_finished
