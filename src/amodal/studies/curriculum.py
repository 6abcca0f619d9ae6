"""In which order to learn where words' things are and what captions say: matching alone, grounding first, both at once.

S seeds · N trials
"""

from functools import cached_property
from typing import ClassVar

from pydantic import Field

from amodal.models import Reader
from amodal.recipes.scene_build import freeze_idle
from amodal.recipes.scene_schema import SceneRecipe
from amodal.runs.curves import Chart, Line
from amodal.studies.scene_bench import MATCHING, METHOD, SceneBench, SceneConfig
from amodal.studies.study import Check, Findings, Measured, Study, mean_interval, rows_of

ALONE, FIRST, AT_ONCE = "matching alone", "grounding first", "both at once"
WIDTH = "model.width=96"
GROUNDED, UNGROUNDED = "task.levels.pixel=1", "task.levels.pixel=0"
RELATION = "matching/relation"
MORE, ALIKE = 0.10, 0.03


class CurriculumConfig(SceneConfig):
    """epochs: of all, half of which ground where grounding comes first."""

    epochs: int = Field(default=4, ge=2)


class Curriculum(Study[CurriculumConfig]):
    """Changed captions after as many steps, in three orders."""

    name: ClassVar = "curriculum"
    claim: ClassVar = (
        "Words must be tied to places before relations between them are learnt: with grounding, first or beside, a "
        "reader learns relations from scenes that teach it none by matching alone; and it need not come first."
    )
    rule: ClassVar = (
        "On trials of a changed relation, grounding first less matching alone, and both at once less matching alone, "
        f"lie above {100 * MORE:g} points; and both at once less grounding first above {-100 * ALIKE:g}."
    )
    method: ClassVar = (
        f"{METHOD} A reader of width 96 with as many steps in all: of matching alone; half of them of grounding (where "
        "the things are that words mean, by masks) and half of matching; or all of both at once."
    )
    cost: ClassVar = "15 minutes on one CPU core, and 1 for the features the first time"
    config_class: ClassVar = CurriculumConfig
    tiny: ClassVar = {"seeds": 2, "scenes": 48, "judged": 24, "epochs": 2}

    @cached_property
    def bench(self) -> SceneBench:
        """The scenes of all trainings."""
        return SceneBench(self.place, self.config)

    def settings(self) -> list[str]:
        """The three orders."""
        return [ALONE, FIRST, AT_ONCE]

    def measure(self, setting: str, seed: int) -> dict[str, list[float]]:
        """Trials and pointing at the end."""
        model = self.bench.reader(self.bench.recipe("matching", [WIDTH, GROUNDED, "task.levels.whole=0"]), seed)
        for number, (task, level, epochs) in enumerate(self._stages(setting)):
            told = [WIDTH, f"task.name={task}", level, "task.levels.whole=0", f"training.epochs={epochs}"]
            recipe = self.bench.recipe("matching", told)
            _thaw(model, recipe)
            self.bench.train(recipe, model, seed, f"{setting}-{seed}-{number}")
        return {**self.bench.trials(self.bench.scores(model).fit_N), **self.bench.pointing(model)}

    def _stages(self, setting: str) -> list[tuple[str, str, int]]:
        epochs = self.config.epochs
        if setting == FIRST:
            return [("aligning", GROUNDED, epochs // 2), ("matching", UNGROUNDED, epochs - epochs // 2)]
        return [("matching", GROUNDED if setting == AT_ONCE else UNGROUNDED, epochs)]

    def conclude(self, measured: Measured) -> Findings:
        """Each order against matching alone, and the two against each other."""
        first, at_once, alone = (measured[name][RELATION] for name in (FIRST, AT_ONCE, ALONE))
        sides = (
            (f"{FIRST} less {ALONE}", first - alone, MORE),
            (f"{AT_ONCE} less {ALONE}", at_once - alone, MORE),
            (f"{AT_ONCE} less {FIRST}", at_once - first, -ALIKE),
        )
        figures = (RELATION, MATCHING, *(each for each in measured[ALONE] if each not in (RELATION, MATCHING)))
        return Findings(
            checks=[
                Check(says=f"{says}, changed relations", found=mean_interval(values), above=above, unit="points")
                for says, values, above in sides
            ],
            rows=[row for figure in figures for row in rows_of(measured, figure, "%", ALONE)],
            against=ALONE,
            chart=self._chart(measured),
            shown=(RELATION, MATCHING, "pointing"),
        )

    def _chart(self, measured: Measured) -> Chart:
        changes = [figure for figure in measured[ALONE] if figure.startswith(MATCHING + "/")]
        spots = [float(place) for place in range(len(changes))]
        lines = []
        for shade, name in enumerate(self.settings()):
            y, low, high = zip(*(mean_interval(measured[name][change]) for change in changes), strict=True)
            beside = [spot + 0.06 * (shade - 1) for spot in spots]  # not one over another
            lines.append(Line(label=name, x=beside, y=y, low=low, high=high, shade=shade, joined=False))
        return Chart(
            title="True captions told from changed ones, as many steps each",
            x_label="what is changed",
            bars="95 % interval over seeds and trials",
            shares=True,
            log_x=False,
            lines=lines,
            ticks=spots,
            tick_names=[change.split("/")[1] for change in changes],
            levels={"chance": 0.5},
        )


def _thaw(model: Reader, recipe: SceneRecipe) -> None:
    """Everything but the towers learns again, and what the recipe's task does not reach stays."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(("image_tower.", "text_tower.")))
    freeze_idle(model, recipe.task)
