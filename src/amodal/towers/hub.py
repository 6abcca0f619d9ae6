"""Dual encoders of Hugging Face transformers, from a folder or by the name of a hub.

B rows · L tokens · P patches · F width of the joint space
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from amodal.core.errors import WeightsError
from amodal.towers.foreign import Foreign, OwnPreparation

# Texts of these were all padded to one length in training. SigLIP reads its result off the last place, padding or not:
# any other length gives another vector. Their processors do not all say so.
_FIXED_LENGTH = {"siglip": 64, "siglip2": 64, "align": 64, "owlvit": 16, "owlv2": 16}
_CANNOT_READ = (
    OSError, ValueError, RuntimeError, ImportError, KeyError, AttributeError, TypeError, UnpicklingError,
    SafetensorError,
)  # fmt: skip
_NOT_SETTINGS = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures")


def hub_dual_encoder(source: str) -> Foreign:
    """The dual encoder of a folder or of a hub name: CLIP, SigLIP, ALIGN and whatever else gives features of pictures
    and of texts.

    Weights are safetensors, or a pickle read with weights_only; code from a hub is never run. Computed in float32,
    whatever the file holds. Raises WeightsError, with the way out.
    """
    from transformers import AutoImageProcessor, AutoModel

    safe: dict[str, Any] = {"trust_remote_code": False}
    try:
        with _quiet():
            network, told = AutoModel.from_pretrained(
                source, weights_only=True, dtype=torch.float32, output_loading_info=True, **safe
            )
            _check(source, network, told)
            processor = AutoImageProcessor.from_pretrained(source, **safe)
    except _CANNOT_READ as error:
        raise WeightsError(f"cannot load {source}: {why_not(error)}{way_out(source)}") from error
    kind = network.config.model_type
    tokenizer, length = hub_tokenizer(source, network)
    return Foreign(
        network=network,
        read_pixels=_read_pixels,
        read_words=_read_words,
        preparation=OwnPreparation(_Prepared(processor), told=f"{type(processor).__name__} {_settings(processor)}"),
        tokenizer=tokenizer,
        context_length=min(length, _FIXED_LENGTH.get(kind, length)),
        fixed_length=kind in _FIXED_LENGTH or _padding_is_read(network, tokenizer, length),
        logit_scale=_logit_scale(network),
        settings=f"{type(network).__name__} {_settings(network.config)}",
    )


def hub_tokenizer(source: str, network: Any) -> tuple[Any, int]:
    """The tokenizer that came with a network, and the tokens of the longest text: as many as there are positions, or
    fewer where the tokenizer says so. Raises WeightsError."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except _CANNOT_READ as error:
        raise WeightsError(f"cannot load the tokenizer of {source}: {why_not(error)}{way_out(source)}") from error
    positions = getattr(network.config.get_text_config(), "max_position_embeddings", 512)
    for name, part in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(part, nn.Embedding) and part.padding_idx is not None:
            positions = part.num_embeddings - part.padding_idx - 1  # RoBERTa's begin behind that of padding
    return tokenizer, min(positions, tokenizer.model_max_length)


def why_not(error: BaseException) -> str:
    """An error of another library in one line; torch would tell how to read an unsafe pickle all the same."""
    said = str(error).strip() or type(error).__name__
    if any("weights_only" in str(each) for each in (error, error.__cause__, error.__context__)):
        return "its weights are a pickle of more than tensors, or TorchScript, which could run code; get safetensors"
    return said.splitlines()[0]


def way_out(source: str) -> str:
    """What to do when a name of a hub could not be loaded; nothing for what lies here."""
    if Path(source).exists():
        return ""
    return (
        f"; without a network give a folder: where there is one run `hf download {source} --local-dir FOLDER`, "
        "copy FOLDER here and name it in place of the hub's name"
    )


class _Prepared:
    """The library's own picture processor, for one picture. What has a mask and a shape (SigLIP 2's patches of any
    aspect) is packed into one tensor: (1, P, values + 1 of the mask + 2 of the shape)."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def __call__(self, image: Image.Image) -> Tensor:
        made = self._processor(images=image, return_tensors="pt")
        if "spatial_shapes" not in made:
            return made["pixel_values"][0]
        patches, mask, shape = (made[name][0] for name in ("pixel_values", "pixel_attention_mask", "spatial_shapes"))
        return torch.cat([patches, mask[:, None], shape.expand(len(mask), 2)], dim=1)[None]


def _read_pixels(network: Any, pixels: Tensor) -> Tensor:
    if network.config.model_type != "siglip2":
        return _pooled(network.get_image_features(pixel_values=pixels))
    patches_BPV, mask_BP, shape_B2 = pixels[:, 0, :, :-3], pixels[:, 0, :, -3].long(), pixels[:, 0, 0, -2:].long()
    return _pooled(
        network.get_image_features(pixel_values=patches_BPV, pixel_attention_mask=mask_BP, spatial_shapes=shape_B2)
    )


def _read_words(network: Any, ids: Tensor, mask: Tensor) -> Tensor:
    return _pooled(network.get_text_features(input_ids=ids, attention_mask=mask.long()))


@torch.no_grad()
def _padding_is_read(network: Any, tokenizer: Any, length: int) -> bool:
    """Whether a text's vector changes with the padding behind it: then only one length gives one result."""
    if "attention_mask" not in tokenizer.model_input_names:
        return True
    found = []
    for padding in (False, "max_length"):
        words = tokenizer(["a"], padding=padding, truncation=True, max_length=length, return_tensors="pt")
        found.append(F.normalize(_read_words(network.eval(), words["input_ids"], words["attention_mask"]), dim=-1))
    return not torch.allclose(*found, atol=1e-5)


def _pooled(said: Any) -> Tensor:
    """Features (B, F): transformers 4 gives them bare, 5 as the pooled output; FLAVA gives every place, the first of
    which stands for the whole."""
    found = said if isinstance(said, Tensor) else said.pooler_output
    return found if found.ndim == 2 else found[:, 0]


def _check(source: str, network: Any, told: Any) -> None:
    """Refuses what is no dual encoder, and weights that do not fill it: transformers makes up what is missing."""
    if not (hasattr(network, "get_image_features") and hasattr(network, "get_text_features")):
        raise WeightsError(
            f"{source} holds a {type(network).__name__}, which gives no vectors of pictures and texts in one space; "
            "name a CLIP-like model, or join a text encoder with a picture network: timm:NETWORK+hf:ENCODER"
        )
    missing = [*told["missing_keys"], *(str(entry) for entry in told["mismatched_keys"])]
    if missing:
        raise WeightsError(
            f"{source} does not hold all weights of a {type(network).__name__}: {len(missing)} are missing or of "
            f"another shape, among them {sorted(missing)[0]}; is it one side of the model, or another kind?"
        )


def _logit_scale(network: Any) -> float:
    """The logarithm of what cosines are multiplied by; ALIGN divides by a temperature."""
    if isinstance(scale := getattr(network, "logit_scale", None), Tensor):
        return scale.item()
    if isinstance(temperature := getattr(network, "temperature", None), Tensor):
        return -math.log(temperature.item())
    return math.log(1 / 0.07)


def _settings(config: Any) -> str:
    """Everything that a config or a processor says of what is computed, in one order."""

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): kept(each) for key, each in value.items() if key not in _NOT_SETTINGS}
        return value

    return json.dumps(kept(config.to_dict()), sort_keys=True, default=str)


@contextmanager
def _quiet() -> Iterator[None]:
    """No bar and no table of weights while transformers loads: what matters of it is told as an error."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
