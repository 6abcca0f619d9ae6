"""Whatever gives vectors of pictures and texts, opened by one name: a run of ours, a model of Hugging Face or of
open_clip, or two towers joined fresh."""

import json
import math
from pathlib import Path

import torch

from amodal.core.errors import RecipeError, UsageError, WeightsError
from amodal.data.foreign_tokenizers import HubTokenizer, OpenClipTokenizer
from amodal.features import Encoder, FeatureCache
from amodal.models import DualEncoder, ProjectionHead, UnitLength
from amodal.recipes.load import Loaded, load_run
from amodal.recipes.schema import EvaluationConfig
from amodal.towers import (
    FOLDER_CONFIG,
    Foreign,
    ForeignImageTower,
    ForeignTextTower,
    HuggingFaceTextTower,
    TimmTower,
    hub_dual_encoder,
    hub_tokenizer,
    open_clip_dual_encoder,
    timm_preparation,
)

JOINED_WIDTH = 512
_FORMS = "a run folder, a folder or hub name of a CLIP-like model, open_clip:NAME:WEIGHTS, or timm:NETWORK+hf:ENCODER"


def load_any_model(source: str | Path, *, device: torch.device, cache: FeatureCache) -> Loaded:
    """The model of a name; its towers are frozen.

    source: the folder of a run, of a Hugging Face model or of an open_clip model; `org/name` or `hf:org/name` of a hub;
    `open_clip:ARCHITECTURE:TAG`, `open_clip:ARCHITECTURE:FILE` or `open_clip:org/name`; `timm:NETWORK+hf:ENCODER`, each
    a name or a folder, with fresh heads. A hub is asked only for what is no path here. Raises UsageError when the name
    means nothing, WeightsError when what it means cannot be loaded, RunError for a run that gives no vectors.
    """
    name, path = str(source), Path(source)
    kind, _, rest = name.partition(":")
    if kind in _KINDS:
        return _KINDS[kind](rest, device, cache)
    if is_foreign(source):
        opened = _from_open_clip if (path / FOLDER_CONFIG).exists() else _from_hub
        return opened(name, device, cache)
    if path.is_dir():
        return load_run(path, device=device, cache=cache)
    if path.is_file():
        raise UsageError(
            f"{path} is a file: give the folder that describes the model, too; "
            f"open_clip's weights are opened as open_clip:ARCHITECTURE:{path}"
        )
    raise UsageError(f"there is no model at {name}; give {_FORMS}, or nothing for the packaged default")


def is_foreign(source: str | Path) -> bool:
    """Whether this names a model of another library, there or not, and not the folder of a run."""
    name, path = str(source), Path(source)
    if path.is_dir():
        return (path / FOLDER_CONFIG).exists() or "model_type" in _config_of(path)
    return name.partition(":")[0] in _KINDS or (_may_be_of_a_hub(name) and not path.exists())


def _may_be_of_a_hub(name: str) -> bool:
    """org/name that cannot be a slip in a path: no folder `org` is here."""
    owner, slash, model = name.partition("/")
    return bool(owner and slash and model) and "/" not in model and "\\" not in name and not Path(owner).exists()


def _config_of(folder: Path) -> dict[str, object]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _from_hub(source: str, device: torch.device, cache: FeatureCache) -> Loaded:
    foreign = hub_dual_encoder(source)
    words = HubTokenizer(foreign.tokenizer, context_length=foreign.context_length, fixed_length=foreign.fixed_length)
    return _loaded(foreign, words, device, cache)


def _from_open_clip(source: str, device: torch.device, cache: FeatureCache) -> Loaded:
    foreign = open_clip_dual_encoder(source)
    return _loaded(foreign, OpenClipTokenizer(foreign.tokenizer), device, cache)


def _loaded(
    foreign: Foreign, words: HubTokenizer | OpenClipTokenizer, device: torch.device, cache: FeatureCache
) -> Loaded:
    model = DualEncoder(ForeignImageTower(foreign), ForeignTextTower(foreign), UnitLength(), UnitLength())
    encoder = Encoder(model.requires_grad_(False).eval().to(device), words, cache, device)
    return Loaded(encoder, foreign.logit_scale, EvaluationConfig())


def _joined(source: str, device: torch.device, cache: FeatureCache) -> Loaded:
    """A timm network and a text encoder with their own weights and seeded, fresh heads, which have learnt nothing."""
    image_name, plus, text_name = source.partition("+hf:")
    if not (image_name and plus and text_name):
        raise UsageError(f"timm:{source} is one tower; join it with a text encoder: timm:{image_name}+hf:ENCODER")
    try:
        image, text = TimmTower(image_name, pretrained=True), HuggingFaceTextTower(text_name)
    except RecipeError as error:
        raise WeightsError(f"{error}; or two folders: timm:local-dir:FOLDER+hf:FOLDER") from error
    image.preprocessing = timm_preparation(image.network)
    tokenizer, length = hub_tokenizer(text_name, text.network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        heads = [ProjectionHead(tower.width, JOINED_WIDTH) for tower in (image, text)]
    model = DualEncoder(image, text, *heads).requires_grad_(False).eval().to(device)
    words = HubTokenizer(tokenizer, context_length=length, fixed_length=False)
    return Loaded(Encoder(model, words, cache, device), math.log(1 / 0.07), EvaluationConfig())


_KINDS = {"open_clip": _from_open_clip, "timm": _joined, "hf": _from_hub}
