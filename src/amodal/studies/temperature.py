"""Does a learned temperature (Radford et al. 2021) find what a search over fixed ones would?

S seeds · N concepts
"""

import math
from functools import cached_property
from typing import ClassVar

from pydantic import Field

from amodal.runs.curves import Chart
from amodal.studies.bench import METHOD, RECALL, Bench, BenchConfig
from amodal.studies.study import Check, Findings, Measured, Study, line_of, mean_interval, rows_of

LEARNED = "learned"
WITHIN = 0.01
TEMPERATURE = "temperature"
ON_VALIDATION = "validation recall"


class TemperatureConfig(BenchConfig):
    """fixed: temperatures that stay; starts: those at which a learned one begins, the first is compared."""

    fixed: tuple[float, ...] = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
    starts: tuple[float, ...] = (0.07, 0.01, 1.0)
    epochs: int = Field(default=24, ge=1)


class Temperature(Study[TemperatureConfig]):
    """Recall against the temperature, fixed or learned."""

    name: ClassVar = "temperature"
    claim: ClassVar = "A learned temperature is within 1 point of recall of the best fixed one."
    rule: ClassVar = (
        "The best fixed temperature is chosen on the validation concepts. On the test concepts the recall of the "
        f"temperature learned from 0.07 on less that of the best fixed one lies above {-100 * WITHIN:g} points."
    )
    method: ClassVar = METHOD
    cost: ClassVar = "7 minutes on one CPU core, and 2 for the features the first time"
    config_class: ClassVar = TemperatureConfig
    tiny: ClassVar = {"seeds": 2, "fixed": [0.05, 1.0], "starts": [0.07], "epochs": 2, "few": True}

    @cached_property
    def bench(self) -> Bench:
        """The features and splits of all trainings."""
        return Bench(self.place, [f"training.epochs={self.config.epochs}"], few=self.config.few)

    def learned(self) -> dict[str, float]:
        """Settings whose temperature is learned -> where it starts; the first is the one that is compared."""
        first, *others = self.config.starts
        return {LEARNED: first, **{f"{LEARNED} from {start:g}": start for start in others}}

    def settings(self) -> list[str]:
        """Each fixed temperature, then the learned ones."""
        return [*(f"{value:g}" for value in self.config.fixed), *self.learned()]

    def measure(self, setting: str, seed: int) -> dict[str, list[float]]:
        """Recall on both held-out splits, and where the temperature ended."""
        learned = self.learned()
        start = learned[setting] if setting in learned else float(setting)
        overrides = [f"task.initial_scale={math.log(1 / start)}", f"task.learn_scale={str(setting in learned).lower()}"]
        trained = self.bench.train(f"{setting}-{seed}", seed, overrides)
        return {
            **self.bench.found(trained, "test"),
            ON_VALIDATION: self.bench.found(trained, "validation")[RECALL],
            TEMPERATURE: [math.exp(-trained.task.objective.logit_scale.item())],
        }

    def conclude(self, measured: Measured) -> Findings:
        """Learned against the best fixed one."""
        fixed = [f"{value:g}" for value in self.config.fixed]
        best = max(fixed, key=lambda setting: measured[setting][ON_VALIDATION].mean())
        difference = mean_interval(measured[LEARNED][RECALL] - measured[best][RECALL])
        check = Check(
            says=f"learned less fixed at {best}, recall on test concepts",
            found=difference,
            above=-WITHIN,
            unit="points",
        )
        ended = {name: measured[name][TEMPERATURE].mean() for name in self.learned()}
        moved = ", ".join(f"from {start:g} to {ended[name]:.3g}" for name, start in self.learned().items())
        rows = [row for figure in (RECALL, "R@1", "R@5") for row in rows_of(measured, figure, "%", best)]
        return Findings(
            checks=[check],
            rows=rows,
            against=best,
            chart=self._chart(measured, fixed, best),
            notes=[f"Best fixed temperature on validation concepts: {best}. Learned ones moved {moved}."],
        )

    def _chart(self, measured: Measured, fixed: list[str], best: str) -> Chart:
        lines = []
        for shade, (label, names) in enumerate({"fixed": fixed, LEARNED: list(self.learned())}.items()):
            x = [float(measured[name][TEMPERATURE].mean()) for name in names]
            lines.append(line_of(measured, RECALL, names, x, best, label=label, shade=shade, joined=label != LEARNED))
        return Chart(
            title="Recall on test concepts; rings: where learned temperatures ended",
            x_label="temperature",
            bars=f"95 % interval of the difference to {best}",
            shares=True,
            lines=lines,
            ticks=self.config.fixed,
        )
