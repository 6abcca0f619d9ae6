"""What every run ends with, whatever it learnt from: card, what was skipped, report, figures."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from torch import nn

from amodal.data.rows import SkipLog
from amodal.metrics import Figure
from amodal.runs import Confusion, Examples, History, RunCard, RunFolder, current_versions, read_findings, write_report
from amodal.runs.folder import write_json
from amodal.towers import fingerprint


@dataclass(frozen=True)
class Finished:
    """What a run gave: its folder, its figures on the test split, how long each part took in seconds."""

    folder: RunFolder
    figures: dict[str, Figure]
    timings: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class LearntFrom:
    """The data of a run, as its card says them (see `RunCard`), and the inputs that were left out."""

    data: str
    fingerprint: str
    splits: Mapping[str, int]
    seeds: Mapping[str, int]
    licences: tuple[str, ...]
    skips: SkipLog


def finish(
    name: str,
    done: Finished,
    model: Any,
    learnt_from: LearntFrom,
    *,
    templates: tuple[str, ...] = (),
    examples: Examples | None = None,
    confusion: Confusion | None = None,
    calibration: Mapping[str, str] | None = None,
) -> None:
    """Writes card, what was skipped, plots, report and figures into the folder, and drops its checkpoints.

    name: of the recipe; model: with an `image_tower` and a `text_tower`; calibration: see
    `RunCard`.
    """
    folder, findings, skips = done.folder, read_findings(done.folder.diagnosis), learnt_from.skips
    card = RunCard(
        name=name,
        command=shlex.join(["amodal", "train", str(folder.recipe)]),
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        data=learnt_from.data,
        data_fingerprint=learnt_from.fingerprint,
        splits=learnt_from.splits,
        seeds=learnt_from.seeds,
        versions=current_versions(),
        towers={"image": fingerprint(model.image_tower), "text": fingerprint(model.text_tower)},
        trainable_parameters=num_parameters(model, trainable=True),
        total_parameters=num_parameters(model),
        preprocessing=vars(model.image_tower.preprocessing),
        prompt_templates=templates,
        timings=done.timings,
        figures=done.figures,
        skipped=len(skips),
        licences=learnt_from.licences,
        findings=tuple(findings or ()),
        calibration=calibration or {},
    )
    card.write(folder)
    write_json(folder.skipped, skips.to_json())
    skipped = [(entry.key, entry.reason) for entry in skips.entries]
    history, shown = History(folder.history).read(), "\n".join(learnt_from.licences)
    write_report(folder, card, done.figures, history, examples, skipped, shown, confusion, findings)
    told = {figure: found.to_json() for figure, found in done.figures.items()}
    write_json(folder.figures, {"run": str(folder.path), "figures": told})
    folder.drop_checkpoints()  # last: from here on nothing is left to go on with


def num_parameters(model: nn.Module, *, trainable: bool = False) -> int:
    """Numbers that a model holds; trainable: those that training changes."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)
