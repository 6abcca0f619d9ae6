"""run(recipe): it learns, it can be made again from its folder, frozen towers run once, what was left out is named."""

import json
import math
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from amodal.core.batch import Tokens
from amodal.core.errors import DataError
from amodal.features import FeatureCache
from amodal.recipes import Finished, Recipe, load_recipe, load_run, read_recipe, recipe_names, resume, run_recipe
from amodal.runs import History, RunFolder, read_card, read_findings
from amodal.towers import ConSETower, TextTransformer, TimmTower
from amodal.training import Stopped

FROZEN = (
    "model.image.trainable=false",
    "model.text.trainable=false",
    "model.image.views=[0, 1]",
    "training.epochs=2",
)
SMALLEST = (
    "data.limit=16",
    "model.image.image_size=64",
    "model.text.width=64",
    "model.text.depth=1",
    "model.text.heads=2",
    "model.text.vocabulary=300",
    "model.text.context_length=16",
    "training.epochs=1",
    "training.batch_size=8",
    "training.workers=0",
)
PAIRED = [name for name in recipe_names() if isinstance(read_recipe(name), Recipe)]  # for scenes: test_scene_run.py
NO_CLASSES = ("task.class_pairs=false", "model.image.conse=false", "model.image.style=false")  # 5,000 texts
SMALLER = {"clip-vit-b32": ("model.image.options={depth: 1}",), "demo": NO_CLASSES, "transfer": NO_CLASSES}
CLASSIFIER = ("model.image.conse=true", "task.class_pairs=true", "training.batch_size=64")


def run(recipe: Recipe, out: Path, cache: FeatureCache | None = None) -> Finished:
    return run_recipe(
        recipe, out, device=torch.device("cpu"), cache=FeatureCache() if cache is None else cache, say=lambda line: None
    )


def figures(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())["figures"]


def test_it_learns_what_chance_does_not_give(tiny_run: Path) -> None:
    """New pictures of 12 captions that were trained on: chance is 1 in 12."""
    found = figures(tiny_run)
    for name in ("image_to_text/R@1", "text_to_image/R@1"):
        assert found[name]["chance"] == pytest.approx(1 / 12)
        assert found[name]["low"] > 2 / 12
    history = History(RunFolder(tiny_run).history).read()
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert history[-1]["bound"] > 1
    judged = [row["epoch"] for row in history if "validation/score" in row]
    assert judged == [10, 20, 30]


def test_the_recipe_in_the_folder_makes_the_same_run(cli: Callable[..., Any], tiny_run: Path, tmp_path: Path) -> None:
    card = read_card(RunFolder(tiny_run))
    assert card.command == f"amodal train {tiny_run / 'recipe.yaml'}"
    answer = cli(*card.command.split()[1:], "--out", tmp_path / "again")
    assert answer.code == 0, answer.err
    assert figures(tmp_path / "again") == figures(tiny_run)
    same = ("model.safetensors", "tokenizer.json", "recipe.yaml", "skipped.json")
    for name in same:
        assert (tmp_path / "again" / name).read_bytes() == (tiny_run / name).read_bytes(), name


@pytest.mark.parametrize("name", PAIRED)
def test_every_shipped_recipe_runs_at_its_smallest(name: str, shapes: Path, tmp_path: Path) -> None:
    recipe = load_recipe(name, [f"data.source={shapes}", *SMALLEST, *SMALLER.get(name, ())])
    done = run(recipe, tmp_path / "run")
    assert done.figures["text_to_image/R@1"].n == 12
    (row,) = History(done.folder.history).read()
    assert row["step"] == 2
    assert math.isfinite(row["loss"])
    card = read_card(done.folder)
    whole = recipe.model.image.trainable and recipe.model.text.trainable
    assert (card.trainable_parameters == card.total_parameters) == whole
    loaded = load_run(done.folder.path, device=torch.device("cpu"), cache=FeatureCache())
    assert loaded.recipe is not None
    assert loaded.recipe.name == name


def test_words_of_one_caption_are_unknown_in_a_run(tiny_recipe: Path, tmp_path: Path) -> None:
    """Each colour is said of three shapes and each shape of four colours: shared by four leaves shapes alone."""
    settings = ["training.epochs=1", "training.augment.words=0.5"]
    sizes = []
    for number, shared_by in enumerate((1, 4)):
        recipe = load_recipe(str(tiny_recipe), [*settings, f"model.text.shared_by={shared_by}"])
        words = json.loads(run(recipe, tmp_path / str(number)).folder.tokenizer.read_text())["model"]["vocab"]
        assert {"circle", "square", "triangle"} <= set(words)
        assert ("red" in words) == (shared_by == 1)
        sizes.append(len(words))
    assert sizes[0] > sizes[1]


def test_another_seed_is_another_run(tiny_recipe: Path, tiny_run: Path, tmp_path: Path) -> None:
    run(load_recipe(str(tiny_recipe), ["training.seed=1", "training.epochs=2"]), tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != (tiny_run / "model.safetensors").read_bytes()


def test_a_healthy_run_has_no_findings(tiny_run: Path) -> None:
    folder = RunFolder(tiny_run)
    assert read_findings(folder.diagnosis) == []
    assert read_card(folder).findings == ()
    assert "Nothing wrong was seen in 60 steps of training." in folder.report.read_text()


def test_what_is_found_is_said_once_and_kept(tiny_recipe: Path, tmp_path: Path) -> None:
    """Captions are cut, and the rate is so high that nothing is learnt; the run stops once on its way."""
    changes = ["model.text.context_length=4", "training.learning_rate=0.2", "training.save_every=0"]
    recipe = load_recipe(str(tiny_recipe), changes)
    said: list[str] = []

    def stop(line: str) -> None:
        said.append(line)
        if "loss at chance" in line:
            signal.raise_signal(signal.SIGTERM)

    where: dict[str, Any] = {"device": torch.device("cpu"), "cache": FeatureCache()}
    with pytest.raises(Stopped):
        run_recipe(recipe, tmp_path / "run", say=stop, **where)
    found = read_findings(RunFolder(tmp_path / "run").diagnosis)
    done = resume(tmp_path / "run", say=said.append, **where)
    kept = read_findings(done.folder.diagnosis)
    assert found is not None
    assert kept is not None
    assert [each.says for each in kept if each.name in {one.name for one in found}] == [each.says for each in found]
    assert {"captions cut", "loss at chance", "captions collapsed"} <= {each.name for each in kept}
    cut, chance = ([line for line in said if name in line] for name in ("captions cut", "loss at chance"))
    assert cut == [f"warning: captions cut, before training. {kept[0].says}"]
    assert len(chance) == 1
    assert read_card(done.folder).findings == tuple(kept)
    assert "Loss at chance" in done.folder.report.read_text()


def test_the_card_says_what_was_run(tiny_run: Path) -> None:
    card = read_card(RunFolder(tiny_run))
    assert card.splits == {"train": 24, "validation": 12, "test": 12}
    assert card.trainable_parameters == card.total_parameters > 100_000
    assert card.seeds == {"training": 0}
    assert card.preprocessing["size"] == 32
    assert set(card.timings) == {"reading the data", "features", "training", "calibration", "evaluation"}
    assert card.licences == ()  # no bundled picture is in it


@pytest.mark.parametrize("extra", [(), CLASSIFIER, (*CLASSIFIER, "model.anchors=40")])
def test_frozen_towers_run_once(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]
) -> None:
    seen = {"pictures": 0, "texts": 0}

    def counting(tower: Any, what: str) -> None:
        plain = tower.forward

        def forward(self: Any, first: torch.Tensor, *others: torch.Tensor) -> Any:
            seen[what] += len(first)
            return plain(self, first, *others)

        monkeypatch.setattr(tower, "forward", forward)

    for tower, what in ((TimmTower, "pictures"), (ConSETower, "pictures"), (TextTransformer, "texts")):
        counting(tower, what)
    cache = FeatureCache(tmp_path / "features.sqlite")
    recipe = load_recipe(str(tiny_recipe), [*FROZEN, *extra])
    first = run(recipe, tmp_path / "first", cache)
    towers_made = 1 if extra else 0  # a ConSE tower asks itself for its width with one empty picture
    # each of 48 pictures once, and once mirrored; and one that a faster copy of the tower is tried on, by both
    assert seen["pictures"] - towers_made == 96 + 2
    assert seen["texts"] >= 12
    seen.update(pictures=0, texts=0)
    second = run(recipe, tmp_path / "second", cache)
    assert seen == {"pictures": towers_made, "texts": 0}
    assert {name: figure.to_json() for name, figure in first.figures.items()} == {
        name: figure.to_json() for name, figure in second.figures.items()
    }
    assert (tmp_path / "first" / "model.safetensors").read_bytes() == (
        tmp_path / "second" / "model.safetensors"
    ).read_bytes()


def test_a_trained_tower_sees_each_picture_once_an_epoch(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few to measure the memory of a pair, one epoch of 24 pictures, 12 to validate and 12 to test, for figures and
    report together."""
    seen, plain = 0, TimmTower.forward

    def forward(self: TimmTower, pixels: torch.Tensor) -> Tokens:
        nonlocal seen
        seen += len(pixels)
        return plain(self, pixels)

    monkeypatch.setattr(TimmTower, "forward", forward)
    run(load_recipe(str(tiny_recipe), ["training.epochs=1"]), tmp_path / "run")
    assert seen == 4 + 8 + 24 + 12 + 12


def test_a_finished_run_keeps_no_checkpoint(tiny_run: Path) -> None:
    assert not RunFolder(tiny_run).checkpoints.exists()


@pytest.mark.parametrize("last_step", ["write_report", "write_json", "drop_checkpoints"])
def test_killed_at_the_very_end(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last_step: str
) -> None:
    """Until the figures are written the run can be gone on with; from then on it is finished."""

    def die(path: object, *_: object) -> None:
        if last_step != "write_json" or path == tmp_path / "run" / "metrics.json":
            raise KeyboardInterrupt

    owner = RunFolder if last_step == "drop_checkpoints" else sys.modules["amodal.recipes.finish"]
    monkeypatch.setattr(owner, last_step, die)
    recipe = load_recipe(str(tiny_recipe), ["training.epochs=1"])
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "run")
    monkeypatch.undo()
    finished = last_step == "drop_checkpoints"
    assert RunFolder(tmp_path / "run").is_finished == finished
    if not finished:
        done = resume(tmp_path / "run", device=torch.device("cpu"), cache=FeatureCache(), say=lambda line: None)
        assert done.folder.is_finished
        assert not done.folder.checkpoints.exists()


@pytest.fixture
def damaged(shapes: Path, tmp_path: Path) -> Path:
    """The shapes with one picture cut short in each of the training and the test split, and one caption missing."""
    folder = shutil.copytree(shapes.parent, tmp_path / "damaged")
    for name in ("red-circle-0.png", "blue-square-3.png"):
        path = folder / name
        path.write_bytes(path.read_bytes()[:80])
    table = folder / "pairs.csv"
    table.write_text(table.read_text().replace("green-circle-1.png,a green circle", "green-circle-1.png,  "))
    return table


@pytest.mark.parametrize("extra", [(), FROZEN])
def test_what_was_left_out_is_named(tiny_recipe: Path, damaged: Path, tmp_path: Path, extra: tuple[str, ...]) -> None:
    source = f"data.source={damaged}"
    recipe = load_recipe(str(tiny_recipe), [source, "data.max_skipped=0.1", "training.epochs=2", *extra])
    done = run(recipe, tmp_path / "run")
    skipped = json.loads(done.folder.skipped.read_text())
    lines = damaged.read_text().splitlines()
    broken = [
        number for number, line in enumerate(lines, start=1) if line.startswith(("red-circle-0", "blue-square-3"))
    ]
    empty = next(number for number, line in enumerate(lines, start=1) if line.startswith("green-circle-1"))
    reasons = {entry["key"]: entry["reason"] for entry in skipped["entries"]}
    assert set(reasons) == {f"pairs.csv:{number}" for number in (*broken, empty)}
    assert reasons[f"pairs.csv:{empty}"] == "empty caption"
    assert "red-circle-0.png" in reasons[f"pairs.csv:{broken[0]}"]
    report = done.folder.report.read_text()
    assert all(f">{key}<" in report for key in reasons)
    assert read_card(done.folder).skipped == 3
    assert done.figures["image_to_text/R@1"].n == 11


def test_too_much_left_out_ends_the_run(tiny_recipe: Path, damaged: Path, tmp_path: Path) -> None:
    recipe = load_recipe(str(tiny_recipe), [f"data.source={damaged}", "data.max_skipped=0.03", "training.epochs=1"])
    with pytest.raises(DataError, match=r"Mend them, or raise the limit \(data\.max_skipped"):
        run(recipe, tmp_path / "run")
    assert not RunFolder(tmp_path / "run").weights.exists()
    mended = load_recipe(str(tiny_recipe), [f"data.source={damaged}", "data.max_skipped=0.1", "training.epochs=1"])
    assert run(mended, tmp_path / "run").folder.is_finished  # the same folder can be used once it is right


def test_a_table_without_splits_is_split(tiny_recipe: Path, shapes: Path, tmp_path: Path) -> None:
    table = shapes.with_name("unsplit.csv")
    table.write_text("\n".join(",".join(line.split(",")[:2]) for line in shapes.read_text().splitlines()))
    recipe = load_recipe(str(tiny_recipe), [f"data.source={table}", "training.epochs=1"])
    done = run(recipe, tmp_path / "run")
    splits = read_card(done.folder).splits
    assert sum(splits.values()) == 48
    assert all(number % 4 == 0 for number in splits.values()), "pictures of one caption stand on both sides"
