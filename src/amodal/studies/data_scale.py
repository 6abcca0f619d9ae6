"""How recall grows with the number of training pairs: a saturating power law (Hestness et al. 2017), and whether it
foretells what it was not fitted to.

K sizes · S seeds · N concepts · E exponents
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field

from amodal.core.seeds import generator_for
from amodal.data.rows import Row
from amodal.metrics import bootstrap_crossed, crossed_mean
from amodal.runs.curves import Chart, Line
from amodal.studies.bench import METHOD, RECALL, Bench, BenchConfig, first_concepts
from amodal.studies.study import Check, Findings, Interval, Measured, Study, line_of, rows_of

WITHIN = 0.02
EXPONENTS = np.geomspace(0.02, 4.0, 1000)
WARMUP = 8  # steps


class DataScaleConfig(BenchConfig):
    """concepts: how many are trained on, each with its two pictures; steps: of the optimiser, the same for all."""

    concepts: tuple[int, ...] = (36, 71, 142, 285, 569, 1139)
    steps: int = Field(default=96, ge=1)


class DataScale(Study[DataScaleConfig]):
    """Recall against the number of pairs, with a fitted curve."""

    name: ClassVar = "data-scale"
    claim: ClassVar = (
        "Recall grows with the number of training pairs n as a saturating power law, c - a n^-b: fitted to the smaller "
        "sizes it foretells the recall of twice as many pairs within 2 points."
    )
    rule: ClassVar = (
        f"The curve is fitted to all sizes but the largest. What it foretells there less what is measured lies between "
        f"{-100 * WITHIN:g} and {100 * WITHIN:g} points on the test concepts."
    )
    method: ClassVar = (
        f"{METHOD} Of the 1,139 training concepts each seed draws a part anew, the smaller inside the larger; every "
        "size takes 96 steps of 256 pairs, or of all where there are fewer."
    )
    cost: ClassVar = "2 minutes on one CPU core, and 2 for the features the first time"
    config_class: ClassVar = DataScaleConfig
    tiny: ClassVar = {"seeds": 2, "concepts": [6, 12, 18, 24], "steps": 6, "few": True}

    @cached_property
    def bench(self) -> Bench:
        """The features and splits of all trainings."""
        return Bench(self.place, few=self.config.few)

    def sizes(self) -> dict[str, int]:
        """Setting -> its number of concepts."""
        return {f"{2 * count:,} pairs": count for count in self.config.concepts}

    def settings(self) -> list[str]:
        """Each number of pairs."""
        return list(self.sizes())

    def measure(self, setting: str, seed: int) -> dict[str, list[float]]:
        """Recall after training on a part."""
        rows = part_of(self.bench.splits["train"].rows, self.sizes()[setting], seed)
        epoch = len(rows) // min(len(rows), self.bench.recipe(seed, ()).training.batch_size)
        overrides = [f"training.epochs={-(-self.config.steps // epoch)}", f"training.warmup={WARMUP / epoch}"]
        return self.bench.found(self.bench.train(f"{setting}-{seed}", seed, overrides, rows), "test")

    def conclude(self, measured: Measured) -> Findings:
        """What the curve foretells against what came."""
        pairs_K = np.array([2.0 * count for count in self.config.concepts])
        values = [measured[setting][RECALL] for setting in self.settings()]

        def interval(statistic: Callable[[np.ndarray], float]) -> Interval:
            """Of what is computed from the mean recall of each size (K,)."""
            found = bootstrap_crossed(
                lambda s, n: statistic(np.array([crossed_mean(each, s, n) for each in values])), *values[0].shape
            )
            return Interval(*found)

        errors = [interval(lambda y_K, k=k: left_out(pairs_K, y_K, k)) for k in range(len(pairs_K))]
        law = fit_power_law(pairs_K, np.array([each.mean() for each in values]))
        exponent, ceiling = (interval(lambda y_K, at=at: fit_power_law(pairs_K, y_K)[at]) for at in (2, 0))
        last = self.settings()[-1]
        check = Check(
            says=f"foretold from the smaller sizes less measured, at {last}",
            found=errors[-1],
            above=-WITHIN,
            below=WITHIN,
            unit="points",
        )
        rows = [row for figure in (RECALL, "R@1", "R@5") for row in rows_of(measured, figure, "%", last)]
        return Findings(
            checks=[check],
            rows=rows,
            against=last,
            chart=self._chart(measured, pairs_K, law),
            notes=_notes(law, exponent, ceiling, dict(zip(self.settings(), errors, strict=True))),
        )

    def _chart(self, measured: Measured, pairs_K: np.ndarray, law: "PowerLaw") -> Chart:
        names, x = self.settings(), np.geomspace(pairs_K[0], 2 * pairs_K[-1], 100)
        points = line_of(measured, RECALL, names, pairs_K.tolist(), names[-1], label="", joined=False)
        before = fit_power_law(pairs_K[:-1], np.array(points.y[:-1]))
        return Chart(
            title="Recall on test concepts and fitted power laws",
            x_label="training pairs",
            bars=f"95 % interval of the difference to {names[-1]}",
            shares=True,
            lines=[
                Line(label="without the last", x=x.tolist(), y=before(x).tolist(), shade=1, dashed=True),
                Line(label="fitted to all", x=x.tolist(), y=law(x).tolist(), dashed=True),
                points,
            ],
            ticks=pairs_K.tolist(),
        )


class PowerLaw(NamedTuple):
    """ceiling - scale n^-exponent."""

    ceiling: float
    scale: float
    exponent: float

    def __call__(self, n: np.ndarray) -> np.ndarray:
        """Recall at these numbers of pairs."""
        return self.ceiling - self.scale * n**-self.exponent


def fit_power_law(n_K: np.ndarray, y_K: np.ndarray) -> PowerLaw:
    """The law with the least squared error whose ceiling is at most 1 and which does not fall.

    For one exponent it is linear in the other two (Golub & Pereyra 1973); the best of `EXPONENTS` is taken.
    """
    x_EK = n_K ** -EXPONENTS[:, None]
    apart_EK = x_EK - x_EK.mean(1, keepdims=True)
    scale_E = np.maximum(-(apart_EK @ (y_K - y_K.mean())) / (apart_EK**2).sum(1), 0)
    ceiling_E = y_K.mean() + scale_E * x_EK.mean(1)
    above = ceiling_E > 1
    scale_E[above] = (x_EK[above] @ (1 - y_K)) / (x_EK[above] ** 2).sum(1)
    ceiling_E = np.minimum(ceiling_E, 1)
    error_E = ((ceiling_E[:, None] - scale_E[:, None] * x_EK - y_K) ** 2).sum(1)
    best = int(error_E.argmin())
    return PowerLaw(float(ceiling_E[best]), float(scale_E[best]), float(EXPONENTS[best]))


def left_out(n_K: np.ndarray, y_K: np.ndarray, k: int) -> float:
    """What a law fitted to the other sizes says of size k, less what was measured there."""
    others = np.arange(len(n_K)) != k
    return float(fit_power_law(n_K[others], y_K[others])(n_K[k]) - y_K[k])


def part_of(rows: list[Row], concepts: int, seed: int) -> list[Row]:
    """The rows of so many concepts, drawn by the seed; fewer are a part of more."""
    pairs = list(dict.fromkeys(row.pair for row in rows))
    order = torch.randperm(len(pairs), generator=generator_for(seed, "part")).tolist()
    place = {pairs[number]: at for at, number in enumerate(order)}
    return first_concepts(sorted(rows, key=lambda row: place[row.pair]), concepts)


def _notes(law: PowerLaw, exponent: Interval, ceiling: Interval, errors: Mapping[str, Interval]) -> list[str]:
    from amodal.studies.wording import interval

    told = "; ".join(f"{setting} {interval(error, 'points', signed=True)}" for setting, error in errors.items())
    return [
        f"Fitted to all sizes: recall = {law.ceiling:.3f} - {law.scale:.3g} n^-{law.exponent:.3g}; exponent "
        f"{interval(exponent, '')}, ceiling {interval(ceiling, '%')}.",
        f"Each size foretold by the others, less what was measured: {told}.",
        *(["The ceiling lies at its limit: these sizes show no saturation."] if law.ceiling == 1 else []),
    ]
