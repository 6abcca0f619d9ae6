"""Do negatives mined from the whole training set (ANCE, Xiong et al. 2020) teach what the batch's own do not?

S seeds · N concepts
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from pydantic import Field

from amodal.data.emoji import bundled_table
from amodal.data.rows import Table
from amodal.recipes.pairs import judged_pairs
from amodal.runs.curves import Chart
from amodal.studies.bench import FEW_CONCEPTS, RECALL, Bench, BenchConfig, Training, concept_recalls
from amodal.studies.study import Check, Findings, Measured, Study, line_of, mean_interval, rows_of
from amodal.studies.wording import interval

START, ALONE, LARGE, GUARDED, MINED = "start", "batch alone", "four times the batch", "mined, guarded", "mined"
MORE = 0.03


class MinedNegativesConfig(BenchConfig):
    """batch: pairs of a step; steps: of every training; each, pool, every: see `amodal.recipes.schema.MiningConfig`;
    share: the guard of "mined", strict: that of "mined, guarded"."""

    batch: int = Field(default=64, ge=2)
    epochs: int = Field(default=2, ge=1)
    each: int = Field(default=4, ge=1)
    pool: int = Field(default=16, ge=1)
    every: int = Field(default=1, ge=1)
    share: float = Field(default=1.5, gt=0)
    strict: float = Field(default=0.95, gt=0)
    learning_rate: float = Field(default=0.001, gt=0)


class MinedNegatives(Study[MinedNegativesConfig]):
    """Heads that know emoji learn to tell their variants apart, with and without mined negatives."""

    name: ClassVar = "mined-negatives"
    claim: ClassVar = (
        "Hard negatives mined from all training pairs find at least 3 points more at R@1 on held-out concepts than the "
        "negatives of the batch alone, in as many steps."
    )
    rule: ClassVar = (
        f"R@1 on the pictures of the test concepts, mined less the batch alone, lies above {100 * MORE:g} points; and "
        "above 0 less a batch of four times the pairs, which reads about as many rows a step."
    )
    method: ClassVar = (
        "Two linear heads on the cached features of frozen towers (EfficientNet-Lite0 at 128 pixels with its ConSE "
        "vector, MiniLM), trained on the base emoji, learn further from every skin tone and gender of the training "
        "concepts, each a pair of its own, and are judged on those of the 366 test concepts, all among each other. "
        "R@1 is the mean over pictures and captions and of both directions; seeds and whole concepts are resampled. "
        "All settings of one seed share the start, the order and the number of steps."
    )
    cost: ClassVar = "4 minutes on one CPU core, and 4 for the features the first time"
    config_class: ClassVar = MinedNegativesConfig
    tiny: ClassVar = {"seeds": 2, "batch": 16, "epochs": 1, "each": 2, "pool": 4, "few": True}

    @cached_property
    def bench(self) -> Bench:
        """The features of all trainings, and the splits that the start learns from."""
        return Bench(self.place, few=self.config.few)

    @cached_property
    def splits(self) -> dict[str, Table]:
        """Every variant of the pictures by split, each a pair of its own in both styles."""
        table = bundled_table(variants="all")
        table = replace(table, rows=[replace(row, pair=row.key.partition("/")[2]) for row in table.rows])
        splits = {name: table.split(name) for name in ("train", "test")}
        return {name: replace(part, rows=self._few(part)) for name, part in splits.items()}

    def settings(self) -> list[str]:
        """What is compared."""
        return [START, *self.cases()]

    def cases(self) -> Mapping[str, tuple[str, ...]]:
        """Setting -> what its recipe says beside that of the others."""
        config = self.config
        mining = [f"mining.{name}={getattr(config, name)}" for name in ("each", "pool", "every")]
        four = 4 * config.batch
        return {
            ALONE: (),
            LARGE: (f"training.batch_size={four}", f"training.epochs={4 * config.epochs}"),
            GUARDED: (*mining, f"mining.share={config.strict}"),
            MINED: (*mining, f"mining.share={config.share}"),
        }

    def measure(self, setting: str, seed: int) -> dict[str, list[float]]:
        """Recall on the variants of the test concepts."""
        begun = self._begun(seed)
        if setting == START:
            return self._found(begun)
        config = self.config
        common = (
            "data.captions=first",  # name and keywords: others fit several variants alike
            f"training.batch_size={config.batch}",
            f"training.epochs={config.epochs}",
            f"training.learning_rate={config.learning_rate}",
            "training.warmup=0.2",
        )
        rows, changes = self.splits["train"].rows, self.cases()[setting]
        return self._found(self.bench.train(f"{setting}-{seed}", seed, [*common, *changes], rows, begun))

    def conclude(self, measured: Measured) -> Findings:
        """Mined against the batch alone."""
        now = measured[MINED]["R@1"]
        gains = {other: mean_interval(now - measured[other]["R@1"]) for other in (ALONE, LARGE, GUARDED, START)}
        checks = [
            Check(says=f"{MINED} less {ALONE}, R@1", found=gains[ALONE], above=MORE, unit="points"),
            Check(says=f"{MINED} less {LARGE}, R@1", found=gains[LARGE], above=0.0, unit="points"),
        ]
        names = self.settings()
        line = line_of(measured, "R@1", names, range(len(names)), ALONE, label="R@1", joined=False)
        told = ", ".join(f"{other} {interval(gains[other], 'points', signed=True)}" for other in (GUARDED, START))
        return Findings(
            checks=checks,
            rows=[row for figure in ("R@1", "R@5", RECALL) for row in rows_of(measured, figure, "%", ALONE)],
            against=ALONE,
            chart=Chart(
                title="R@1 on variants of test concepts",
                x_label="",
                bars=f"95 % interval of the difference to {ALONE}",
                shares=True,
                log_x=False,
                lines=[line],
                ticks=range(len(names)),
                tick_names=names,
            ),
            notes=[f"R@1 of {MINED} less that of: {told}."],
        )

    def _begun(self, seed: int) -> Training:
        if self._kept is None or self._kept[0] != seed:
            self._kept = seed, self.bench.train(f"{START}-{seed}", seed)
        return self._kept[1]

    _kept: tuple[int, Training] | None = None

    def _few(self, part: Table) -> list:
        """Those of the first concepts, for a try."""
        concepts = dict.fromkeys(row.attributes["concept"] for row in part.rows)
        kept = set(list(concepts)[:FEW_CONCEPTS] if self.config.few else concepts)
        return [row for row in part.rows if row.attributes["concept"] in kept]

    def _found(self, trained: Training) -> dict[str, list[float]]:
        """Recalls, a value a concept."""
        judged = judged_pairs(trained.encoder, self.splits["test"], "first")
        concept = dict(zip(judged.image_groups.tolist(), judged.rows, strict=True))
        names = [concept[group].attributes["concept"] for group in range(len(concept))]
        return {figure: of_concepts(values, names) for figure, values in concept_recalls(judged).items()}


def of_concepts(values: list[float], names: list[str]) -> list[float]:
    """What pairs of the named concepts gave, a value a concept whose mean is that of all pairs: the sum over the
    concept's pairs, times concepts over pairs. A concept of many pairs so weighs as much as they do."""
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    sums = np.bincount([number[name] for name in names], weights=values)
    return (sums * len(number) / len(names)).tolist()
