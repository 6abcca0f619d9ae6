"""Image towers: any timm network by name.

B pictures · C channels · H W pixels · P patches (or places of the last feature map) · D width
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn

from amodal.core.batch import Tokens
from amodal.core.errors import RecipeError
from amodal.towers.foreign import OwnPreparation


@dataclass(frozen=True, kw_only=True)
class ImagePreprocessing:
    """How a picture becomes a tensor: resized to `size` x `size`, then (value / 255 - mean) / std a channel.

    fit: "squash" resizes both sides, "crop" resizes the shorter side and cuts the centre, "pad" resizes the longer
    side and fills the rest with white.
    """

    size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    fit: Literal["squash", "crop", "pad"] = "squash"


class TimmTower(nn.Module):
    """A timm network without its classifier. Pixels (B, 3, H, W) -> Tokens with P places of D and a pooled (B, D).

    name: any of `timm.list_models()`, or "hf-hub:..." / "local-dir:PATH" as timm understands them; pretrained asks
    timm for its weights, from the hub unless the name is a local folder. image_size: 0 keeps the network's own; known:
    see `timm_network`. statistics: "frozen" keeps batch norms at the statistics they came with, in training, too, so
    that no row depends on the others. Raises RecipeError for an unknown name, with the nearest ones.
    """

    network: Any  # timm's networks have methods that nn.Module does not declare

    def __init__(
        self,
        name: str,
        *,
        image_size: int = 0,
        pretrained: bool = False,
        options: Mapping[str, Any] | None = None,
        known: Mapping[str, Any] | None = None,
        statistics: Literal["batch", "frozen"] = "batch",
    ) -> None:
        super().__init__()
        self._statistics = statistics
        size = {"img_size": image_size} if image_size and _takes_size(name) else {}
        arguments = {"num_classes": 0, **size, **(options or {})}
        self.network = timm_network(name, pretrained=pretrained, options=arguments, known=known)
        config = self.network.pretrained_cfg
        self.preprocessing: ImagePreprocessing | OwnPreparation = ImagePreprocessing(
            size=image_size or config["input_size"][-1], mean=tuple(config["mean"]), std=tuple(config["std"])
        )
        self._built_as = f"name={name}, options={options or {}}"
        with torch.no_grad():  # some heads widen the pooled vector (MobileNetV3); ask the network itself
            was_training = self.network.training
            probe = torch.zeros(1, 3, self.preprocessing.size, self.preprocessing.size)
            self.width: int = self.network.eval()(probe).shape[-1]
            self.network.train(was_training)

    def train(self, mode: bool = True) -> "TimmTower":
        """As every module; frozen statistics stay."""
        super().train(mode)
        for part in self.modules() if self._statistics == "frozen" else ():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()
        return self

    def extra_repr(self) -> str:
        """What the weights do not tell; `fingerprint` reads it."""
        return self._built_as

    def forward(self, pixels: Tensor) -> Tokens:
        """(B, 3, H, W) -> Tokens (B, P, D), all real."""
        pixels = pixels.contiguous(memory_format=torch.channels_last)  # 1.3 times as fast on a CPU (ResNet-10, 64 px)
        raw = self.network.forward_features(pixels)
        pooled = self.network.forward_head(raw, pre_logits=True)
        sequence = raw.flatten(2).transpose(1, 2) if raw.ndim == 4 and _channels_first(self.network) else raw
        if sequence.ndim == 4:  # (B, H, W, D), as Swin gives
            sequence = sequence.flatten(1, 2)
        mask = torch.ones(sequence.shape[:2], dtype=torch.bool, device=sequence.device)
        return Tokens(sequence, mask, pooled)


def timm_network(
    name: str,
    *,
    pretrained: bool = False,
    options: Mapping[str, Any] | None = None,
    known: Mapping[str, Any] | None = None,
) -> Any:
    """The timm network of a name. Raises RecipeError for one that timm cannot build, with the nearest ones.

    known: what `timm_source` gave for this name; then neither a hub nor a folder is asked, and weights are fresh.
    """
    kind, _, folder = name.partition(":")
    if known is None and pretrained and kind == "local-dir" and not any(Path(folder).glob("*.safetensors")):
        raise RecipeError(f"{folder} holds no safetensors, and timm may unpickle anything else; convert its weights")
    source = known or {"model_name": name, "pretrained": pretrained}
    try:
        return timm.create_model(**{**source, **(options or {})})
    except (RuntimeError, ValueError, OSError) as error:
        near = ", ".join(timm.list_models(f"*{name.split('_')[0].split('.')[0]}*")[:5]) or "see timm.list_models()"
        raise RecipeError(f"timm cannot build {name!r} ({error}); names like it: {near}") from error


def timm_preparation(network: Any) -> OwnPreparation:
    """How timm prepares pictures for this network: its size, share that is cropped, interpolation, mean and std."""
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform

    config = resolve_data_config({}, model=network)
    prepare: Any = create_transform(**config)  # its type allows for training, too
    return OwnPreparation(prepare, told=json.dumps(config, sort_keys=True, default=str))


def timm_source(name: str) -> dict[str, Any]:
    """What the hub or the folder of a name like "hf-hub:..." says of its network, as arguments of timm.create_model.

    Nothing for a name of timm's own.
    """
    from timm.models import _hub  # timm has no public way to read the description of a local folder

    kind, _, place = name.partition(":")
    if kind == "local-dir":
        config, architecture, arguments = _hub.load_model_config_from_path(place)
    elif kind in ("hf-hub", "hf_hub"):
        config, architecture, arguments = _hub.load_model_config_from_hf(place)
    else:
        return {}
    return {**(arguments or {}), "model_name": architecture, "pretrained": False, "pretrained_cfg": config}


def _channels_first(network: nn.Module) -> bool:
    return getattr(network, "output_fmt", "NCHW") == "NCHW" and not type(network).__name__.startswith("Swin")


def _takes_size(name: str) -> bool:
    return any(part in name for part in ("vit_", "deit", "beit", "eva", "swin", "mixer"))
