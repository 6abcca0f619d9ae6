"""What wrong pairs in the training data cost InfoNCE, the hardest-negative triplet loss (VSE++, Faghri et al. 2018) and
InfoNCE that doubts unlikely pairs (after Zhang & Sabuncu 2018).

S seeds · N concepts
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from amodal.core.errors import UsageError
from amodal.core.seeds import generator_for
from amodal.data.rows import Row
from amodal.metrics import bootstrap_crossed, crossed_mean
from amodal.runs.curves import Chart, Line
from amodal.studies.bench import METHOD, RECALL, Bench, BenchConfig
from amodal.studies.study import Check, Findings, Interval, Measured, Study, rows_of
from amodal.studies.wording import interval

INFO_NCE, TRIPLET, DOUBTING = "InfoNCE", "hardest triplet", "doubting InfoNCE"
OBJECTIVES = {
    INFO_NCE: ("task.objective=infonce",),
    TRIPLET: ("task.objective=triplet", "task.negatives=hardest"),
    DOUBTING: ("task.objective=infonce", "task.doubt=0.5"),
}
LOSS, FAR_MORE = 0.05, 0.10


class NoiseConfig(BenchConfig):
    """shares: of the training pairs that are shuffled, the first none; judged: the share that the claim is about."""

    shares: tuple[float, ...] = (0.0, 0.15, 0.3, 0.45, 0.6)
    judged: float = 0.3
    epochs: int = Field(default=12, ge=1)


class Noise(Study[NoiseConfig]):
    """Recall on clean concepts against the share of shuffled training pairs."""

    name: ClassVar = "noise"
    claim: ClassVar = (
        "With 30 % of the training pairs shuffled InfoNCE loses under 5 % of its recall on clean concepts, and the "
        "hardest-negative triplet loss far more."
    )
    rule: ClassVar = (
        f"The relative loss of recall on the test concepts, against the same objective without noise, is below "
        f"{LOSS:.0%} for InfoNCE, and that of the triplet loss exceeds it by more than {100 * FAR_MORE:g} points."
    )
    method: ClassVar = (
        f"{METHOD} A shuffled picture has the captions of another concept's picture for the whole training, and is a "
        "pair of its own. Doubting InfoNCE: a pair counts with the square root of the probability the model gives it."
    )
    cost: ClassVar = "4 minutes on one CPU core, and 2 for the features the first time"
    config_class: ClassVar = NoiseConfig
    tiny: ClassVar = {"seeds": 2, "shares": [0.0, 0.3], "epochs": 2, "few": True}

    @cached_property
    def bench(self) -> Bench:
        """The features and splits of all trainings."""
        return Bench(self.place, [f"training.epochs={self.config.epochs}"], few=self.config.few)

    def cases(self) -> dict[str, tuple[str, float]]:
        """Setting -> objective and share of shuffled pairs."""
        return {
            case_name(objective, share): (objective, share) for objective in OBJECTIVES for share in self.config.shares
        }

    def settings(self) -> list[str]:
        """Each objective with each share."""
        return list(self.cases())

    def measure(self, setting: str, seed: int) -> dict[str, list[float]]:
        """Recall on clean concepts after training on shuffled pairs."""
        objective, share = self.cases()[setting]
        rows = shuffled(self.bench.splits["train"].rows, share, seed)
        return self.bench.found(self.bench.train(f"{setting}-{seed}", seed, OBJECTIVES[objective], rows), "test")

    def conclude(self, measured: Measured) -> Findings:
        """Relative losses."""
        judged, clean = self.config.judged, self.config.shares[0]
        before, after = (
            {each: measured[case_name(each, share)][RECALL] for each in OBJECTIVES} for share in (clean, judged)
        )
        own = relative_loss(before[INFO_NCE], after[INFO_NCE])
        more = relative_loss(before[TRIPLET], after[TRIPLET], before[INFO_NCE], after[INFO_NCE])
        checks = [
            Check(says=f"relative loss of InfoNCE at {100 * judged:g} % noise", found=own, below=LOSS, unit="%"),
            Check(
                says=f"that of the hardest triplet less that of InfoNCE at {100 * judged:g} % noise",
                found=more,
                above=FAR_MORE,
                unit="points",
            ),
        ]
        rows = []
        for figure in (RECALL, "R@1", "R@5"):
            for objective in OBJECTIVES:
                part = {
                    case_name(objective, share): measured[case_name(objective, share)] for share in self.config.shares
                }
                rows += rows_of(part, figure, "%", case_name(objective, clean))
        told = ", ".join(f"{each} {interval(relative_loss(before[each], after[each]), '%')}" for each in OBJECTIVES)
        less = relative_loss(before[DOUBTING], after[DOUBTING], before[INFO_NCE], after[INFO_NCE])
        return Findings(
            checks=checks,
            rows=rows,
            against="the same objective without noise",
            chart=self._chart(measured),
            notes=[
                f"Relative loss of recall at {100 * judged:g} % noise: {told}; that of the doubting one less that of "
                f"InfoNCE {interval(less, 'points', signed=True)}."
            ],
        )

    def _chart(self, measured: Measured) -> Chart:
        shares, lines = self.config.shares, []
        for shade, objective in enumerate(OBJECTIVES):
            clean = measured[case_name(objective, shares[0])][RECALL]
            lost = [relative_loss(clean, measured[case_name(objective, share)][RECALL]) for share in shares]
            y, high, low = zip(*((1 - bound for bound in each) for each in lost), strict=True)
            x = [100 * share + 0.7 * (shade - 1) for share in shares]  # side by side, not one over another
            lines.append(Line(label=objective, x=x, y=y, low=low, high=high, shade=shade))
        return Chart(
            title="Recall on clean concepts, of what it is without noise",
            x_label="shuffled training pairs, per cent",
            bars="95 % interval, in pairs with no noise",
            shares=True,
            log_x=False,
            lines=lines,
            ticks=[100 * share for share in shares],
        )


def case_name(objective: str, share: float) -> str:
    """A setting's name."""
    return f"{objective}, {100 * share:g} % noise"


def relative_loss(before_SN: np.ndarray, after_SN: np.ndarray, *other_SN: np.ndarray) -> Interval:
    """The share of the mean that is lost from `before` to `after`; less that of two others, where given."""

    def lost(times_S: np.ndarray, times_N: np.ndarray) -> float:
        means = [crossed_mean(values_SN, times_S, times_N) for values_SN in (before_SN, after_SN, *other_SN)]
        shares = [1 - after / before for before, after in zip(means[::2], means[1::2], strict=True)]
        return shares[0] - sum(shares[1:])

    return Interval(*bootstrap_crossed(lost, *before_SN.shape))


def shuffled(rows: Sequence[Row], share: float, seed: int) -> list[Row]:
    """The rows, this share of them (rounded) with the captions of another pair, and then a pair of its own.

    The rows of a smaller share are among those of a larger one. Raises UsageError when there are not pairs enough.
    """
    draw = generator_for(seed, "shuffled")
    order = torch.randperm(len(rows), generator=draw).tolist()
    chosen = order[: round(share * len(rows))]
    if not chosen:
        return list(rows)
    given = elsewhere([rows[number].pair for number in chosen], draw)
    changed = {
        number: replace(rows[number], captions=rows[chosen[place]].captions, pair=f"shuffled:{rows[number].key}")
        for number, place in zip(chosen, given, strict=True)
    }
    return [changed.get(number, row) for number, row in enumerate(rows)]


def elsewhere(pairs: Sequence[str], draw: torch.Generator) -> list[int]:
    """A random permutation that takes no place to one of the same pair."""
    count = len(pairs)
    if 2 * max(pairs.count(pair) for pair in set(pairs)) > count:
        raise UsageError(f"{count} pairs cannot be shuffled so that none keeps its own caption; shuffle more of them")
    given = torch.randperm(count, generator=draw).tolist()
    for place in range(count):
        while pairs[given[place]] == pairs[place]:
            other = int(torch.randint(count, (), generator=draw))
            if pairs[given[other]] != pairs[place] and pairs[given[place]] != pairs[other]:
                given[place], given[other] = given[other], given[place]
    return given
