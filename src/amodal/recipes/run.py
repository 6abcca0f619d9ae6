"""run(recipe): build, cache, train, evaluate, report. What a recipe says, done from top to bottom."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from amodal.core.errors import DataError, RunError, UsageError, WeightsError
from amodal.core.ranks import ALONE, Ranks
from amodal.data.batches import PairBatches
from amodal.data.bundled import ATTRIBUTION
from amodal.data.rows import Table
from amodal.data.shard_index import Shards
from amodal.data.sources import BUNDLED, absolute_source, open_table
from amodal.data.streams import ShardBatches
from amodal.data.tokenizers import WordsToIds
from amodal.evaluation import retrieval
from amodal.features import Encoder, FeatureCache, is_frozen
from amodal.recipes.build import Built, build_model, build_task, describe_towers
from amodal.recipes.calibrate import calibrate
from amodal.recipes.catalogue import read_recipe, write_recipe
from amodal.recipes.finish import Finished, LearntFrom, finish, num_parameters
from amodal.recipes.judge import against, judge
from amodal.recipes.load import Loaded
from amodal.recipes.mining import mined
from amodal.recipes.pairs import Judged, judged_pairs, limited, solve_regression, streamed_batches, training_batches
from amodal.recipes.scene_run import run_scenes
from amodal.recipes.scene_schema import SceneRecipe
from amodal.recipes.schema import Recipe
from amodal.recipes.settings import settings
from amodal.recipes.start import absolute_start, begin_scale, build_from_start, load_start
from amodal.recipes.streamed import caption_rows, streamed_data
from amodal.runs import Examples, Finding, History, RunFolder, write_findings
from amodal.tasks import Contrastive
from amodal.training import Batches, Hooks, cut_captions, load_modules, load_weights, save_weights, sharded, train

WATCHED = ("image_to_text/R@1", "image_to_text/R@5", "text_to_image/R@1", "text_to_image/R@5")
MOST_MEASURED = 200_000
MOST_DRAWN = 10_000  # of streamed pairs


def run_recipe(
    recipe: Recipe | SceneRecipe,
    out: Path,
    *,
    device: torch.device,
    cache: FeatureCache,
    say: Callable[[str], None],
    ranks: Ranks = ALONE,
) -> Finished:
    """Runs a whole recipe into the folder `out`, or goes on with what stopped there before.

    The run keeps the absolute path of its data. say: called with one line for each thing a person wants to know;
    ranks: the processes that run it together, each calling this; rank 0 writes. Raises AmodalError.
    """
    if isinstance(recipe, SceneRecipe):
        _alone(ranks)
        with _begun(recipe, out, ranks) as folder:
            return run_scenes(recipe, folder, device=device, cache=cache, say=say)
    places = {name: absolute_source(path) for name in ("source", "judged") if (path := getattr(recipe.data, name))}
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=places)})
    if recipe.start or recipe.mining.each:
        _alone(ranks)
    if recipe.start:
        recipe = recipe.model_copy(update={"start": absolute_start(recipe.start)})
    data = _read(recipe, cache, ranks)  # before the folder: a mistyped path leaves nothing behind
    with _begun(recipe, out, ranks) as folder:
        return _run(recipe, folder, data, device=device, cache=cache, say=say, ranks=ranks)


def _alone(ranks: Ranks) -> None:
    """Raises UsageError for several processes."""
    if ranks.count > 1:
        raise UsageError("this recipe runs in one process; start it without torchrun")


@contextmanager
def _begun(recipe: Recipe | SceneRecipe, out: Path, ranks: Ranks) -> Iterator[RunFolder]:
    """The folder of a run, new or stopped; of one that is refused before it learns anything, nothing stays.

    Raises RunError when it holds something else.
    """
    with ranks.first_goes_first():
        folder = RunFolder(out) if ranks.rank else RunFolder.create(out, overwrite=RunFolder(out).is_unbegun)
        if folder.recipe.exists() and read_recipe(str(folder.recipe)) != recipe:
            raise RunError(
                f"{out} holds a stopped run of another recipe; go on with it: amodal train --resume {out}, "
                "or give another folder (--out)"
            )
        if ranks.rank == 0:
            write_recipe(recipe, folder.recipe)
    try:
        yield folder
    except (UsageError, DataError, WeightsError):
        if ranks.rank == 0 and folder.is_unbegun:
            folder.remove()
        raise


def resume(
    path: Path,
    *,
    device: torch.device,
    cache: FeatureCache,
    say: Callable[[str], None],
    ranks: Ranks = ALONE,
) -> Finished:
    """Goes on with a stopped run, by the recipe in its folder. Raises RunError when it has finished already."""
    folder = RunFolder.open(path)
    if folder.is_finished:
        raise RunError(f"{path} has finished; there is nothing to resume. To judge it again: amodal evaluate {path}")
    if not folder.recipe.exists():
        raise RunError(f"{path} stopped before it began; give the command that began it once more")
    recipe = read_recipe(str(folder.recipe))
    if isinstance(recipe, SceneRecipe) or recipe.start or recipe.mining.each:
        _alone(ranks)
    if isinstance(recipe, SceneRecipe):
        return run_scenes(recipe, folder, device=device, cache=cache, say=say)
    return _run(recipe, folder, _read(recipe, cache, ranks), device=device, cache=cache, say=say, ranks=ranks)


@dataclass(frozen=True)
class _Data:
    """What a recipe's data hold: all of them, the training pairs, the other splits by name; and the seconds it took."""

    source: Table | Shards
    train: Table | Shards
    judged: dict[str, Table]
    seconds: float


def _read(recipe: Recipe, cache: FeatureCache, ranks: Ranks) -> _Data:
    started = time.monotonic()
    if recipe.data.stream:
        shards, judged = streamed_data(recipe, cache, ranks)
        return _Data(shards, shards, judged, time.monotonic() - started)
    table = open_table(recipe.data.source, max_skipped=recipe.data.max_skipped)
    table = table.with_split(recipe.training.seed, recipe.data.split)
    judged = {name: table.split(name) for name in recipe.data.split if name != "train"}
    return _Data(table, limited(table.split("train"), recipe.data.limit), judged, time.monotonic() - started)


def _run(
    recipe: Recipe,
    folder: RunFolder,
    data: _Data,
    *,
    device: torch.device,
    cache: FeatureCache,
    say: Callable[[str], None],
    ranks: Ranks,
) -> Finished:
    timings = {"reading the data": data.seconds}
    say(f"{data.source.name}: " + ", ".join(f"{count:,} {name}" for name, count in _sizes(data).items()) + " pictures")
    started = time.monotonic()
    with ranks.first_goes_first():  # the others find its tokenizer and its features
        if ranks.rank == 0:
            folder.sweep()
        torch.manual_seed(recipe.training.seed)
        begun = load_start(recipe, device, cache) if recipe.start else None
        built = _build(recipe, folder, data.train, cache, begun)
        model = built.model.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # torch's stubs leave it out
        encoder = Encoder(model, built.tokenizer, cache, device, tuple(recipe.model.image.views))
        batches = _batches(recipe, encoder, data.train, ranks)
        validation = judged_pairs(encoder, data.judged["validation"], recipe.evaluation.captions)
    timings["features"] = time.monotonic() - started
    if recipe.model.anchors and not recipe.start and isinstance(batches, PairBatches):
        started = time.monotonic()
        solve_regression(encoder, batches, recipe.training.seed)
        timings["regression"] = time.monotonic() - started
    task, batches = _task(recipe, encoder, batches, begun, say, ranks)
    if recipe.training.shard and ranks.count > 1:
        sharded(model)
    learned = {"model": model, "task.objective": task.objective}  # all that a finished model is used with
    hooks = _hooks(recipe, folder, learned, data.train, validation, say, ranks)
    together = f", {ranks.count} processes" if ranks.count > 1 else ""
    trained, whole = num_parameters(model, trainable=True), num_parameters(model)
    say(f"training {trained:,} of {whole:,} parameters on {device}{together}")
    found = [] if folder.last.exists() else _before(recipe, built.tokenizer, data.train)  # else it is known
    spare = _spare_cores(ranks) if not is_frozen(model.image_tower) and device.type != "cpu" else 0
    how = settings(recipe.training, workers=spare)
    at = train(task, model, batches, how, hooks, checkpoint=folder.last, device=device, found=found)
    timings["training"] = at.seconds
    ranks.wait()  # for the best weights
    if ranks.rank:
        return Finished(folder, {}, timings)
    if recipe.training.shard and ranks.count > 1:  # from here on rank 0 is alone
        built = _build(recipe, folder, data.train, cache, begun)
        learned["model"] = built.model.to(device)
        encoder = Encoder(built.model, built.tokenizer, cache, device, tuple(recipe.model.image.views))
    load_weights(folder.weights, learned)
    return _judged(recipe, folder, encoder, data, begun, timings, say)


def _task(
    recipe: Recipe,
    encoder: Encoder,
    batches: Batches,
    begun: Loaded | None,
    say: Callable[[str], None],
    ranks: Ranks,
) -> tuple[Any, Batches]:
    """The task and what it reads, with mined negatives where the recipe asks for them."""
    precision = torch.bfloat16 if recipe.training.precision == "bfloat16" else torch.float32
    task = build_task(recipe.task, encoder.model, recipe.model.width, ranks=ranks, precision=precision)
    if begun is not None and recipe.task.initial_scale is None:
        begin_scale(task, begun.logit_scale)
    if recipe.mining.each and isinstance(task, Contrastive) and isinstance(batches, PairBatches):
        task, batches = mined(recipe.mining, encoder, batches, task, say)
    return task.to(encoder.device), batches


def _spare_cores(ranks: Ranks) -> int:
    """Cores for each process beyond its own, at most 8."""
    together = int(os.environ.get("LOCAL_WORLD_SIZE", ranks.count))
    return max(0, min(8, (os.cpu_count() or 1) // together - 1))


def _judged(
    recipe: Recipe,
    folder: RunFolder,
    encoder: Encoder,
    data: _Data,
    begun: Loaded | None,
    timings: dict[str, float],
    say: Callable[[str], None],
) -> Finished:
    """Calibrates the best weights, judges them on the test split, once, and writes the end of the run."""
    started = time.monotonic()
    calibration = _calibrated(recipe, folder, encoder, data, say)
    timings["calibration"] = time.monotonic() - started
    started = time.monotonic()
    test = judged_pairs(encoder, data.judged["test"], recipe.evaluation.captions)
    verdict = judge(recipe.evaluation, test, data.judged["test"].classes)
    figures = verdict.figures
    if begun is not None:
        figures = figures | against(recipe.evaluation, test, verdict, begun.encoder)
    timings["evaluation"] = time.monotonic() - started
    done = Finished(folder, figures, timings)
    learnt_from = LearntFrom(
        data=recipe.data.source,
        fingerprint=data.source.fingerprint(),
        splits=_sizes(data),
        seeds={"training": recipe.training.seed},
        licences=(ATTRIBUTION,) if recipe.data.source == BUNDLED else (),
        skips=data.source.skipped,
    )
    examples = Examples(
        image_features=verdict.image_ND,
        text_features=verdict.text_MD,
        image_groups=test.image_groups,
        text_groups=test.text_groups,
        captions=test.texts,
        picture=lambda number: test.rows[number].picture.image(96),
    )
    finish(
        recipe.name,
        done,
        encoder.model,
        learnt_from,
        templates=(recipe.evaluation.templates,),
        examples=examples,
        confusion=verdict.confusion,
        calibration=calibration,
    )
    return done


def _calibrated(
    recipe: Recipe, folder: RunFolder, encoder: Encoder, data: _Data, say: Callable[[str], None]
) -> dict[str, str]:
    """Writes what the scores mean, and tells it for the card; of too few concepts it says so and writes nothing."""
    beside = data.train if isinstance(data.train, Table) else None
    try:
        found = calibrate(encoder, data.judged["validation"], beside, recipe.evaluation.templates)
    except DataError as error:
        say(f"scores are not calibrated: {error}")
        return {}
    source = f"{recipe.data.source}, {len(data.judged['validation'])} pictures of the validation split"
    found.write(folder.calibration, source)
    return found.told(source)


def _sizes(data: _Data) -> dict[str, int]:
    return {"train": len(data.train), **{name: len(part) for name, part in data.judged.items()}}


def _batches(recipe: Recipe, encoder: Encoder, train: Table | Shards, ranks: Ranks) -> PairBatches | ShardBatches:
    if isinstance(train, Shards):
        return streamed_batches(recipe, encoder, train, ranks)
    return training_batches(recipe, encoder, train, ranks)


def _build(
    recipe: Recipe, folder: RunFolder, train: Table | Shards, cache: FeatureCache, begun: Loaded | None
) -> Built:
    """The model; a tokenizer of our own is trained once and then belongs to the run.

    Of a stopped run it is the one that stopped, so that what the towers were made from is not asked again.
    """
    if begun is not None:
        return build_from_start(recipe, folder, begun, cache)
    known = folder.tokenizer if folder.tokenizer.exists() else None
    rows = [] if known else caption_rows(recipe, train)
    said = [(text, row.pair) for row in rows for text in row.captions]
    captions, pairs = [text for text, _ in said], [pair for _, pair in said]
    described = folder.read_config().get("towers") if known and folder.last.exists() else None
    built = build_model(recipe.model, cache=cache, captions=captions, pairs=pairs, tokenizer=known, described=described)
    if described is not None:
        load_modules(folder.last, {"model": built.model})
        return built
    built.tokenizer.save(folder.tokenizer)
    folder.write_config({"towers": describe_towers(recipe.model, built.model)})
    return built


def _before(recipe: Recipe, tokenizer: WordsToIds, train: Table | Shards) -> list[Finding]:
    """What is seen before training; of many captions some are looked at."""
    rows = train.rows if isinstance(train, Table) else train.drawn(MOST_DRAWN, recipe.training.seed)
    texts = [text for row in rows for text in row.said(recipe.data.captions)]
    texts = texts[:: 1 + len(texts) // MOST_MEASURED]
    finding = cut_captions(texts, tokenizer.lengths(texts), tokenizer.context_length)
    return [] if finding is None else [finding]


def _hooks(
    recipe: Recipe,
    folder: RunFolder,
    modules: dict[str, nn.Module],
    source: Table | Shards,
    validation: Judged,
    say: Callable[[str], None],
    ranks: Ranks,
) -> Hooks:
    """All ranks evaluate, rank 0 writes."""
    history = History(folder.history)
    choices = min(recipe.evaluation.candidates or len(validation.rows), len(set(validation.text_groups)))

    def evaluate() -> dict[str, float]:
        if isinstance(source, Shards):
            source.share_skipped(ranks)
        image_ND, text_MD = validation.encode()
        figures = retrieval(
            image_ND, text_MD, validation.image_groups, validation.text_groups, candidates=choices, draws=4
        )
        found = {f"validation/{name}": figures[name].value for name in WATCHED}
        # R@1 of a small split is coarse: the mean of both directions at 1 and 5 chooses more steadily
        chance = {f"validation/{name}/chance": figures[name].chance or 0.0 for name in WATCHED}
        return {**found, **chance, "validation/score": float(np.mean(list(found.values())))}

    def record(row: dict[str, float]) -> None:
        if ranks.rank == 0:
            history.record(row)

    def keep_best() -> None:
        save_weights(folder.weights, modules, write=ranks.rank == 0)

    def diagnosed(findings: list[Finding]) -> None:
        if ranks.rank == 0:
            write_findings(folder.diagnosis, findings)

    return Hooks(evaluate=evaluate, record=record, keep_best=keep_best, say=say, diagnosed=diagnosed)
