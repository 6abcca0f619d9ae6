"""What a recipe that learns from scenes may say."""

from typing import Any, Literal

from pydantic import Field, field_validator

from amodal.core.errors import RecipeError
from amodal.fusion import FUSIONS
from amodal.recipes.schema import Part, TrainingConfig, validated

READER = "reader"
IDLE = ("workers", "precision", "shard", "bucket", "augment")
"""Settings of a training that scenes, whose features are kept, have no use for."""


class SceneData(Part):
    """train, validation, judged: how many scenes of `train`, of each validation split and of each test split; each: of
    how many trials or questions of a scene at most a step learns; where: by what words are shown where their things
    are, by visible pixels or by boxes."""

    source: Literal["scenes"] = "scenes"
    seed: int = Field(default=0, ge=0)
    language: str = "en"
    train: int = Field(ge=2)
    validation: int = Field(ge=2)
    judged: int = Field(ge=2)
    each: int = Field(default=4, ge=1)
    where: Literal["masks", "boxes"] = "masks"


class MapsConfig(Part):
    """Maps of a packaged image tower: stages as `StageTower` counts them; image_size: pixels to a side."""

    name: Literal["lite0", "lite2"] = "lite0"
    image_size: int = Field(default=256, ge=64, multiple_of=32)
    stages: tuple[int, ...] = (3, 4)


class FusedConfig(Part):
    """fusion: "reader" (`amodal.models.Reader`, whose words are tied to places) or one of
    `amodal.fusion.FUSIONS`."""

    image: MapsConfig = MapsConfig()
    fusion: str = READER
    width: int = Field(default=128, ge=4)
    heads: int = Field(default=4, ge=1)
    depth: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @field_validator("fusion")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != READER and value not in FUSIONS:
            raise ValueError(f"no fusion {value!r}; there are {READER}, {', '.join(FUSIONS)}")
        return value


class LevelsConfig(Part):
    """See `amodal.tasks.Levels`; only a reader has them."""

    whole: float = Field(default=0.0, ge=0)
    region: float = Field(default=0.0, ge=0)
    pixel: float = Field(default=1.0, ge=0)


class SceneTask(Part):
    """name: matching (which caption is true), answering (questions) or aligning (the levels alone)."""

    name: Literal["matching", "answering", "aligning"]
    levels: LevelsConfig = LevelsConfig()


class SceneRecipe(Part):
    """A whole run on scenes with two frozen packaged towers. name, about, needs and cost are for people."""

    name: str
    about: str = ""
    needs: str = ""
    cost: str = ""
    data: SceneData
    model: FusedConfig = FusedConfig()
    task: SceneTask
    training: TrainingConfig


def parse_scene_recipe(values: dict[str, Any], place: str) -> SceneRecipe:
    """The typed recipe of these nested values. Raises RecipeError that names `place`, the key and the way out."""
    recipe = validated(SceneRecipe, values, place)
    for key in IDLE:
        if getattr(recipe.training, key) != TrainingConfig.model_fields[key].get_default(call_default_factory=True):
            raise RecipeError(f"{place}: training.{key} is for recipes of pairs and changes nothing here; leave it out")
    if recipe.task.name == "aligning":
        if recipe.model.fusion != READER:
            raise RecipeError(f"{place}: task.name aligning needs words with places; set model.fusion: {READER}")
        if not any(recipe.task.levels.model_dump().values()):
            raise RecipeError(f"{place}: every level of task.levels is 0, so nothing is learnt; give one a weight")
    return recipe
