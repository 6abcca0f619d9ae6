"""A recipe that learns from scenes, done from top to bottom: look, train, choose, judge, report."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from amodal.core.errors import RunError, UsageError
from amodal.data.bundled import ATTRIBUTION
from amodal.data.rows import SkipLog
from amodal.evaluation import Located, answers, grounding, matching, question_only
from amodal.features import FeatureCache, SceneBatches, SceneLines
from amodal.metrics import Figure
from amodal.models import Reader, ReadFeatures
from amodal.recipes.finish import Finished, LearntFrom, finish, num_parameters
from amodal.recipes.scene_build import build_fused, build_scene_task, scene_source
from amodal.recipes.scene_data import CHOSEN_BY, JUDGED_BY, Pointing, SceneSource
from amodal.recipes.scene_erasing import erasing
from amodal.recipes.scene_schema import SceneRecipe
from amodal.recipes.settings import settings
from amodal.runs import Finding, History, RunFolder, write_findings
from amodal.training import Hooks, load_weights, save_weights, train

ROWS_JUDGED = 64
DECISIVE = ("matching/mean", "answers/all", "grounding/pointing")
"""Of each task the figure whose mean over the validation splits the weights are chosen by."""


def run_scenes(
    recipe: SceneRecipe,
    folder: RunFolder,
    *,
    device: torch.device,
    cache: FeatureCache,
    say: Callable[[str], None],
) -> Finished:
    """Runs a recipe in its folder, or goes on there. Raises AmodalError."""
    timings, started = {}, time.monotonic()
    folder.sweep()
    torch.manual_seed(recipe.training.seed)
    source = scene_source(recipe, cache, device)
    model, task = build_fused(source).to(device), build_scene_task(recipe).to(device)
    folder.write_config({"towers": {}})
    known, chosen_by = source.lines("train"), {split: source.lines(split) for split in CHOSEN_BY}
    timings["features"] = time.monotonic() - started
    training, data = recipe.training, recipe.data
    batches = SceneBatches(known, size=training.batch_size, each=data.each, seed=training.seed)
    trained = num_parameters(model, trainable=True)
    say(f"{data.train:,} scenes, {len(known.groups):,} {_things(recipe)}; training {trained:,} parameters")
    guess = _Guess(source, known)
    hooks = _hooks(folder, source, model, {name: (lines, guess(lines)) for name, lines in chosen_by.items()}, say)
    at = train(task, model, batches, settings(training), hooks, checkpoint=folder.last, device=device)
    timings["training"] = at.seconds
    load_weights(folder.weights, {"model": model})
    started = time.monotonic()
    figures = judge_splits(source, model, guess, JUDGED_BY)
    timings["evaluation"] = time.monotonic() - started
    done = Finished(folder, figures, timings)
    finish(recipe.name, done, model, _learnt_from(recipe))
    return done


def evaluate_scenes(
    recipe: SceneRecipe, folder: RunFolder, *, split: str, device: torch.device, cache: FeatureCache
) -> dict[str, Figure]:
    """The figures of a finished run on its test splits, or on one split. Raises RunError, UsageError."""
    if split and split not in (*CHOSEN_BY, *JUDGED_BY):
        raise UsageError(f"no split {split!r} to judge on; there are {', '.join((*CHOSEN_BY, *JUDGED_BY))}")
    model, source = load_fused(recipe, folder, device=device, cache=cache)
    known = source.lines("train") if recipe.task.name == "answering" else None
    return judge_splits(source, model, _Guess(source, known), (split,) if split else JUDGED_BY)


def load_fused(
    recipe: SceneRecipe, folder: RunFolder, *, device: torch.device, cache: FeatureCache
) -> tuple[nn.Module, SceneSource]:
    """The best weights of a run that learnt from scenes, and its towers. Raises RunError when there are none."""
    if not folder.weights.exists():
        raise RunError(f"{folder.path} has no weights yet; go on with: amodal train --resume {folder.path}")
    source = scene_source(recipe, cache, device)
    model = build_fused(source).to(device)
    load_weights(folder.weights, {"model": model})
    return model.eval(), source


def judge_splits(source: SceneSource, model: nn.Module, guess: "_Guess", splits: tuple[str, ...]) -> dict[str, Figure]:
    """SPLIT/FIGURE for each split."""
    figures = {}
    for split in splits:
        lines = source.lines(split)
        found = judge(source, model, split, lines, guess(lines))
        figures |= {f"{split}/{name}": figure for name, figure in found.items()}
    return figures


def judge(
    source: SceneSource,
    model: nn.Module,
    split: str,
    lines: SceneLines,
    guess_Q: np.ndarray | None,
    *,
    choosing: bool = False,
) -> dict[str, Figure]:
    """The figures of a split. choosing: no more than what weights are chosen by."""
    task, found = source.recipe.task, {}
    reads = isinstance(model, Reader)
    if task.name != "aligning":
        found |= judge_lines(model, lines, guess_Q, whole=reads and task.levels.whole > 0 and not choosing)
    if reads and (task.name == "aligning" or not choosing):
        found |= grounding(located(model, lines, source.pointings(split, lines, few=choosing)))
    if reads and task.name == "matching" and not choosing:
        found |= erasing(source, model, split, lines)
    return found


@torch.inference_mode()
def located(model: Reader, lines: SceneLines, pointings: Iterable[Pointing]) -> list[Located]:
    """Where the model finds phrases."""
    device, found, asked = next(model.parameters()).device, [], list(pointings)
    model.eval()
    for start in range(0, len(asked), ROWS_JUDGED):
        part = asked[start : start + ROWS_JUDGED]
        numbers = list(dict.fromkeys(each.line for each in part))
        features = model(lines.batch(numbers).to(device))
        for each in part:
            map_GG = features.phrase(numbers.index(each.line), each.words, model.grid).cpu().numpy()
            found.append(Located(map_GG, each.mask_HW, each.boxes, lines.lines[each.line].scene))
    return found


class LineScores(NamedTuple):
    """Of each line (N,): fit, the log-odds that it fits; answer, the place of its likeliest answer (0 for a model
    without); whole, the cosine of picture and text as wholes (0 for a model that has none)."""

    fit_N: np.ndarray
    answer_N: np.ndarray
    whole_N: np.ndarray


@torch.inference_mode()
def line_scores(model: nn.Module, lines: SceneLines, *, lacking: str = "") -> LineScores:
    """What a model says of every line. lacking: the modality, "image" or "text", that no line has."""
    device = next(model.parameters()).device
    model.eval()
    scores = LineScores(*np.zeros((3, len(lines.lines))))
    for start in range(0, len(lines.lines), ROWS_JUDGED):
        part = range(start, min(start + ROWS_JUDGED, len(lines.lines)))
        batch = lines.batch(part)
        if lacking:
            batch = replace(batch, present={lacking: torch.zeros(len(part), dtype=torch.bool)})
        features = model(batch.to(device))
        scores.fit_N[part] = features.fit_B.cpu()
        if features.answer_BA.shape[1]:
            scores.answer_N[part] = features.answer_BA.argmax(dim=1).cpu()
        if isinstance(features, ReadFeatures):
            scores.whole_N[part] = (features.image_BD * features.text_BD).sum(dim=1).cpu()
    return scores


def judge_lines(
    model: nn.Module, lines: SceneLines, guess_Q: np.ndarray | None, *, whole: bool = False
) -> dict[str, Figure]:
    """Matching when there is no guess from the question alone, else answers. whole: also matching by pictures and texts
    as wholes, what a dual encoder could say of them."""
    scores = line_scores(model, lines)
    kinds = lines.kinds
    if guess_Q is not None:
        return answers(scores.answer_N, np.array([line.answer for line in lines.lines]), kinds, guess_Q)
    figures = matching(*lines.true_and_false(scores.fit_N), kinds)
    if whole:
        told = matching(*lines.true_and_false(scores.whole_N), kinds)
        figures |= {f"whole/{name}": figure for name, figure in told.items()}
    return figures


class _Guess:
    """What questions alone give away, by a classifier of the training questions; None for captions."""

    def __init__(self, source: SceneSource, known: SceneLines | None) -> None:
        self.source = source
        asked = source.recipe.task.name == "answering"
        self.known = source.questions(known) if asked and known is not None else None

    def __call__(self, lines: SceneLines) -> np.ndarray | None:
        if self.known is None:
            return None
        return question_only(*self.known, self.source.questions(lines)[0], len(self.source.answers))


def _hooks(
    folder: RunFolder,
    source: SceneSource,
    model: nn.Module,
    chosen_by: Mapping[str, tuple[SceneLines, np.ndarray | None]],
    say: Callable[[str], None],
) -> Hooks:
    history = History(folder.history)

    def evaluate() -> dict[str, float]:
        found: dict[str, float] = {}
        for split, (lines, guess) in chosen_by.items():
            for name, figure in judge(source, model, split, lines, guess, choosing=True).items():
                found[f"{split}/{name}"] = figure.value
        means = [value for name, value in found.items() if name.endswith(DECISIVE)]
        return {**found, "validation/score": float(np.mean(means))}

    def record(row: dict[str, float]) -> None:
        history.record(row)
        told = (f"{name} {value:.3f}" for name, value in row.items() if name.startswith("validation"))
        say(f"epoch {row['epoch']:.0f}: loss {row['loss']:.3f}, " + ", ".join(told))

    def diagnosed(findings: list[Finding]) -> None:
        write_findings(folder.diagnosis, findings)

    return Hooks(
        evaluate=evaluate,
        record=record,
        keep_best=lambda: save_weights(folder.weights, {"model": model}),
        say=say,
        diagnosed=diagnosed,
    )


def _things(recipe: SceneRecipe) -> str:
    return "questions" if recipe.task.name == "answering" else "trials of captions"


def _learnt_from(recipe: SceneRecipe) -> LearntFrom:
    data = recipe.data
    return LearntFrom(
        data=f"scenes, seed {data.seed}",
        fingerprint=f"scenes-{data.seed}-{data.language}",
        splits={"train": data.train, "each validation": data.validation, "each test": data.judged},
        seeds={"training": recipe.training.seed, "scenes": data.seed},
        licences=(ATTRIBUTION,),
        skips=SkipLog(),
    )
