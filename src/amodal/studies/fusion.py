"""Where picture and words should meet: at the input, at the end, or in between, at equal parameters.

S seeds · N trials or questions
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
from pydantic import Field, field_validator

from amodal.recipes.finish import num_parameters
from amodal.recipes.scene_schema import READER, SceneRecipe
from amodal.runs.curves import Chart, Line
from amodal.studies.scene_bench import MATCHING, METHOD, SceneBench, SceneConfig
from amodal.studies.study import Check, Findings, Measured, Study, mean_interval, rows_of
from amodal.studies.wording import interval, number

FAMILIES = {
    "early": ("early",),
    "late": ("late-concatenation", "late-product", "late-gated", "late-bilinear"),
    "deep": ("deep-self-attention", "deep-cross-attention", "deep-co-attention"),
    "queries": ("queries",),
    READER: (READER,),
}
JUDGED_DEEP = "deep-cross-attention"
RELATION, ANSWERS = "matching/relation", "answers"
NO_PICTURE, NO_WORDS = "answers without the picture", "answers without the words"
MORE, HEADS = 0.10, 4


class FusionConfig(SceneConfig):
    """parameters: that each fusion learns, as near as its width allows; fusions: by default all."""

    parameters: int = Field(default=200_000, ge=1000)
    fusions: tuple[str, ...] = tuple(name for names in FAMILIES.values() for name in names)

    @field_validator("fusions")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        there = [name for members in FAMILIES.values() for name in members]
        unknown = [name for name in names if name not in there]
        if unknown or not {"early", JUDGED_DEEP, READER} <= set(names) or not set(FAMILIES["late"]) & set(names):
            wrong = f"there is no {unknown[0]}: there are {', '.join(there)}. " if unknown else ""
            raise ValueError(f"{wrong}The rule compares early, {JUDGED_DEEP}, {READER} and at least one that is late")
        return names


class Fusion(Study[FusionConfig]):
    """Captions with one thing changed and questions about scenes, by every fusion."""

    name: ClassVar = "fusion"
    claim: ClassVar = (
        "At equal parameters layers that let picture and words attend to each other (deep) tell the true caption of a "
        "scene from a changed one better than a join of finished vectors (late) or of features (early); and words that "
        "are shown where their things are (reader) do so by far."
    )
    rule: ClassVar = (
        f"On all trials of changed captions {JUDGED_DEEP} less the mean of the late fusions, and less early, lie above "
        f"0; the reader less {JUDGED_DEEP} lies above {100 * MORE:g} points."
    )
    method: ClassVar = (
        f"{METHOD} Two layers each, of the width that gives the stated number of learnt parameters. Each is trained "
        "twice: on trials of a true caption and one with its relation, number, attribute or thing changed, and on "
        "questions. The reader alone learns, beside, from the masks of the things that words mean. Time is of the "
        "forward pass, memory what a further row keeps for the backward pass."
    )
    cost: ClassVar = "50 minutes on one CPU core, and 1 for the features the first time"
    config_class: ClassVar = FusionConfig
    tiny: ClassVar = {
        "seeds": 2, "scenes": 48, "judged": 24, "epochs": 1, "parameters": 50_000,
        "fusions": ["early", "late-product", JUDGED_DEEP, READER],
    }  # fmt: skip

    @cached_property
    def bench(self) -> SceneBench:
        """The scenes of all trainings."""
        return SceneBench(self.place, self.config)

    def settings(self) -> list[str]:
        """The fusions, by family."""
        return [name for names in FAMILIES.values() for name in names if name in self.config.fusions]

    def measure(self, setting: str, seed: int) -> dict[str, list[float]]:
        """What one fusion matches and answers, what it does without a modality, and what it costs."""
        matching, answering = (self._recipe(job, setting) for job in ("matching", "answering"))
        model = self.bench.model(matching, seed)
        self.bench.train(matching, model, seed, f"{setting}-{seed}-matching")
        learnt = float(num_parameters(model, trainable=True))
        trials = self.bench.trials(self.bench.scores(model).fit_N)
        found = {**trials, **self.bench.cost(matching, model), "parameters": [learnt]}
        model = self.bench.model(answering, seed)
        self.bench.train(answering, model, seed, f"{setting}-{seed}-answering")
        without = {
            name: self.bench.answers(model, lacking=lacking)[ANSWERS]
            for name, lacking in ((NO_PICTURE, "image"), (NO_WORDS, "text"))
        }
        return {**found, **self.bench.answers(model), **without}

    def _recipe(self, job: str, fusion: str) -> SceneRecipe:
        return self.bench.recipe(job, [f"model.fusion={fusion}", f"model.width={self.width(job, fusion)}"])

    @lru_cache(maxsize=64)  # noqa: B019  # a width takes seconds to find, and there is one study
    def width(self, job: str, fusion: str) -> int:
        """The width whose learnt parameters come nearest to what is asked."""

        def off(width: int) -> int:
            recipe = self.bench.recipe(job, [f"model.fusion={fusion}", f"model.width={width}"])
            return abs(num_parameters(self.bench.model(recipe, 0), trainable=True) - self.config.parameters)

        return min(range(2 * HEADS, 257, HEADS), key=off)

    def conclude(self, measured: Measured) -> Findings:
        """Deep against late and early, and the reader against deep."""
        deep, late = measured[JUDGED_DEEP][MATCHING], _mean(measured, FAMILIES["late"], MATCHING)
        sides = (
            (f"{JUDGED_DEEP} less the mean of late fusions, all trials", deep - late, 0.0),
            (f"{JUDGED_DEEP} less early, all trials", deep - measured["early"][MATCHING], 0.0),
            (f"{READER} less {JUDGED_DEEP}, all trials", measured[READER][MATCHING] - deep, MORE),
        )
        checks = [
            Check(says=says, found=mean_interval(values), above=above, unit="points") for says, values, above in sides
        ]
        shares = [MATCHING, ANSWERS, NO_PICTURE, NO_WORDS]
        shares += [figure for figure in measured[JUDGED_DEEP] if "/" in figure]
        return Findings(
            checks=checks,
            rows=[row for figure in shares for row in rows_of(measured, figure, "%", JUDGED_DEEP)]
            + [row for figure in ("ms", "kB", "parameters") for row in rows_of(measured, figure, "", None)],
            against=JUDGED_DEEP,
            chart=self._chart(measured),
            notes=[_told(name, measured) for name in self.settings()],
            shown=(MATCHING, RELATION, ANSWERS, NO_PICTURE, NO_WORDS),
        )

    def _chart(self, measured: Measured) -> Chart:
        names = [name for name in self.settings() if name in measured]
        places, lines = list(range(len(names))), []
        for shade, (figure, label) in enumerate({MATCHING: "captions", ANSWERS: "questions"}.items()):
            spots = [mean_interval(measured[name][figure]) for name in names]
            y, low, high = (list(bounds) for bounds in zip(*spots, strict=True))
            lines.append(Line(label=label, x=places, y=y, low=low, high=high, shade=shade, joined=False))
        return Chart(
            title="True captions told from changed ones, and questions answered",
            x_label="fusion",
            bars="95 % interval over seeds and trials",
            shares=True,
            log_x=False,
            lines=lines,
            ticks=places,
            tick_names=names,
            levels={"chance, captions": 0.5},
        )


def _mean(measured: Measured, names: Sequence[str], figure: str) -> np.ndarray:
    return np.mean([measured[name][figure] for name in names if name in measured], axis=0)


def _told(name: str, measured: Measured) -> str:
    """One fusion in a sentence: each change, cost, and what it does without a modality."""
    figures = measured[name]
    changes = [
        f"{each.split('/')[1]} {interval(mean_interval(figures[each]), '%')}" for each in figures if "matching/" in each
    ]
    ms, kept, parameters = (float(figures[each].mean()) for each in ("ms", "kB", "parameters"))
    lacking = ", ".join(
        f"{each} {number(float(figures[each].mean()), '%')}" for each in (ANSWERS, NO_PICTURE, NO_WORDS)
    )
    cost = f"{ms:.2g} ms an item, {kept:,.0f} kB a row, {parameters:,.0f} parameters"
    return f"{name}: {', '.join(changes)}; {lacking}; {cost}."
