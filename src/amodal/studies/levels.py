"""What each level of alignment adds to the others: pictures with captions, regions with phrases, places with words.

S seeds · N trials or phrases
"""

from functools import cached_property
from typing import ClassVar

from amodal.runs.curves import Chart
from amodal.studies.scene_bench import MATCHING, METHOD, SceneBench, SceneConfig
from amodal.studies.study import Check, Findings, Interval, Measured, Study, line_of, mean_interval, rows_of

WEIGHTS = {"whole": 0.1, "region": 0.3, "pixel": 1.0}
SETTINGS = {
    "none": (),
    "whole": ("whole",),
    "region": ("region",),
    "pixel": ("pixel",),
    "whole + region": ("whole", "region"),
    "whole + pixel": ("whole", "pixel"),
    "region + pixel": ("region", "pixel"),
    "all": ("whole", "region", "pixel"),
}
NONE, PIXEL, WEAK, ALL, REGION = "none", "pixel", "whole + region", "all", "region"
POINTING, WHOLE = "pointing", "whole matching"
MORE, ALIKE = 0.10, 0.03


class Levels(Study[SceneConfig]):
    """Matching and pointing by a reader that learns from any of the three levels beside."""

    name: ClassVar = "levels"
    claim: ClassVar = (
        "The region level, which needs captions alone, teaches words where their things are; the pixel level, which "
        "needs masks, adds much to matching beside the others; and they add little to it."
    )
    rule: ClassVar = (
        f"Pointing with the region level less that with none lies above {100 * MORE:g} points. On all trials of "
        f"changed captions all three less whole and region lies above {100 * MORE:g} points, and all three less pixel "
        f"alone between {-100 * ALIKE:g} and {100 * ALIKE:g}."
    )
    method: ClassVar = (
        f"{METHOD} A reader of width 96 learns to match and beside that from the levels named: whole (InfoNCE of "
        "picture and caption, weight 0.1), region (late interaction of words and places, 0.3), pixel (masks of the "
        "things that words mean, 1). Pointing: the highest pixel of a phrase's map lies in the box of a thing it means."
    )
    cost: ClassVar = "40 minutes on one CPU core, and 1 for the features the first time"
    config_class: ClassVar = SceneConfig
    tiny: ClassVar = {"seeds": 2, "scenes": 48, "judged": 24, "epochs": 1}

    @cached_property
    def bench(self) -> SceneBench:
        """The scenes of all trainings."""
        return SceneBench(self.place, self.config)

    def settings(self) -> list[str]:
        """Every set of levels."""
        return list(SETTINGS)

    def measure(self, setting: str, seed: int) -> dict[str, list[float]]:
        """Trials, by the reader and by wholes, and pointing."""
        weights = [f"task.levels.{level}={WEIGHTS[level] * (level in SETTINGS[setting])}" for level in WEIGHTS]
        recipe = self.bench.recipe("matching", ["model.width=96", *weights])
        model = self.bench.reader(recipe, seed)
        self.bench.train(recipe, model, seed, f"{setting}-{seed}")
        scores = self.bench.scores(model)
        whole = self.bench.trials(scores.whole_N)[MATCHING]
        return {**self.bench.trials(scores.fit_N), **self.bench.pointing(model), WHOLE: whole}

    def conclude(self, measured: Measured) -> Findings:
        """What is added to what."""

        def less(figure: str, one: str, other: str) -> Interval:
            return mean_interval(measured[one][figure] - measured[other][figure])

        checks = [
            Check(says="region less none, pointing", found=less(POINTING, REGION, NONE), above=MORE, unit="points"),
            Check(says="all less whole + region, trials", found=less(MATCHING, ALL, WEAK), above=MORE, unit="points"),
            Check(
                says="all less pixel, trials",
                found=less(MATCHING, ALL, PIXEL),
                above=-ALIKE,
                below=ALIKE,
                unit="points",
            ),
        ]
        figures = (MATCHING, POINTING, "iou", WHOLE, *(each for each in measured[ALL] if "/" in each))
        return Findings(
            checks=checks,
            rows=[row for figure in figures for row in rows_of(measured, figure, "%", NONE)],
            against=NONE,
            chart=self._chart(measured),
            notes=["Chance is 50 % for trials; wholes that no level taught are those of an untrained map."],
            shown=(MATCHING, "matching/relation", POINTING, "iou", WHOLE),
        )

    def _chart(self, measured: Measured) -> Chart:
        names, spots = list(SETTINGS), [float(place) for place in range(len(SETTINGS))]
        lines = [
            line_of(measured, figure, names, spots, NONE, label=label, shade=shade, joined=False)
            for shade, (figure, label) in enumerate({MATCHING: "matching", POINTING: "pointing"}.items())
        ]
        return Chart(
            title="Matching and pointing by the levels that are learnt",
            x_label="levels of alignment",
            bars="95 % interval of the difference to none",
            shares=True,
            log_x=False,
            lines=lines,
            ticks=spots,
            tick_names=[name.replace(" + ", " +\n") for name in names],
            levels={"chance of matching": 0.5},
        )
