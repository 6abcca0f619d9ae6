"""Models of open_clip, by name and tag, by architecture and file of weights, or from a folder; the only file that
imports that package.

B rows · L tokens · F width of the joint space
"""

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from amodal.core.errors import UsageError, WeightsError
from amodal.towers.foreign import Foreign, OwnPreparation
from amodal.towers.hub import way_out, why_not

FOLDER_CONFIG = "open_clip_config.json"
_CANNOT_READ = (OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError, UnpicklingError, SafetensorError)


def open_clip_dual_encoder(source: str) -> Foreign:
    """`ViT-B-32:laion2b_s34b_b79k` (a tag), `ViT-B-32:weights.safetensors` (a file), `org/name` (of a hub), or a folder
    that holds open_clip_config.json.

    Pickles are read with weights_only, TorchScript archives are refused. Raises UsageError without open_clip and for an
    unknown name, WeightsError for weights that cannot be read or do not fit.
    """
    try:
        import open_clip
    except ModuleNotFoundError as error:
        raise UsageError(f'{source} needs open_clip: pip install "amodal[open-clip]"') from error

    architecture, _, weights = source.partition(":")
    folder = Path(source)
    if folder.is_dir():
        name, weights = f"local-dir:{folder}", ""
        if not any(path.suffix in (".safetensors", ".bin", ".pth") for path in folder.iterdir()):
            raise WeightsError(f"{folder} holds no weights; put open_clip_model.safetensors beside {FOLDER_CONFIG}")
    elif "/" in architecture and not weights:
        name = f"hf-hub:{architecture}"
    else:
        name = architecture
        _check_name(open_clip, architecture, weights)
    try:
        made: Any = open_clip.create_model_and_transforms(
            name, pretrained=weights or None, precision="fp32", require_pretrained=True, weights_only=True
        )
        tokenizer: Any = open_clip.get_tokenizer(name)
    except _CANNOT_READ as error:
        out = "" if folder.is_dir() else way_out(architecture) if name.startswith("hf-hub:") else _other_way(weights)
        raise WeightsError(f"cannot load open_clip's {source}: {why_not(error)}{out}") from error
    network, _, transform = made
    preparation = OwnPreparation(transform, told=_told(open_clip.get_model_preprocess_cfg(network)))
    return Foreign(
        network=network,
        read_pixels=_read_pixels,
        read_words=_read_words,
        preparation=preparation,
        tokenizer=tokenizer,
        context_length=tokenizer.context_length,
        fixed_length=True,
        logit_scale=network.logit_scale.item(),
        settings=f"{type(network).__name__} {_told(open_clip.get_model_config(name))}",
    )


def _other_way(weights: str) -> str:
    """What to do when the weights of a tag could not be fetched; nothing for a file."""
    if Path(weights).is_file():
        return ""
    return "; without a network fetch them where there is one, and give the file in place of the tag"


def _check_name(open_clip: Any, architecture: str, weights: str) -> None:
    """Refuses what is neither in open_clip's lists nor a file, with what there is."""
    if architecture not in open_clip.list_models():
        from difflib import get_close_matches

        near = ", ".join(get_close_matches(architecture, open_clip.list_models())) or "see open_clip.list_models()"
        raise UsageError(f"open_clip knows no {architecture!r}; names like it: {near}")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if weights not in tags and not Path(weights).is_file():
        raise UsageError(
            f"which weights of {architecture}? name a tag or a file: open_clip:{architecture}:WEIGHTS; "
            f"its tags: {', '.join(tags) or 'none'}"
        )


def _read_pixels(network: Any, pixels: Tensor) -> Tensor:
    return network.encode_image(pixels)


def _read_words(network: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Its networks read all places of their context, and find the end of a text by themselves."""
    return network.encode_text(ids)


def _told(settings: Any) -> str:
    return json.dumps(settings, sort_keys=True, default=str)
