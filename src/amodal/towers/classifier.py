"""A supervised classifier is already half an alignment: its class weights are prototypes and its class names captions
(DeViSE, Frome et al. 2013; ConSE, Norouzi et al. 2014).

B pictures · K classes · F width of the classifier's features · E width of the text vectors
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Tokens
from amodal.core.errors import RecipeError
from amodal.towers.image import ImagePreprocessing


class ConSETower(nn.Module):
    """A timm classifier whose pooled vector is its features beside the ConSE vector of its classes. -> (B, F + E)

    The ConSE vector is the mean of the class names' text vectors, weighted by the picture's class probabilities, so
    that what the classifier knows of words reaches the joint space. Pixels larger than `size` are shrunk to it first.
    Raises RecipeError for a network without a classifier of K classes.
    """

    network: Any  # timm's networks have methods that nn.Module does not declare
    class_text_KE: Tensor
    conse_gain = 3.0  # brings the ConSE vector to the scale of a single feature; heads standardise it anyway

    def __init__(self, network: Any, class_text_KE: Tensor, *, size: int) -> None:
        super().__init__()
        head = network.get_classifier()
        if not isinstance(head, nn.Linear) or head.out_features != len(class_text_KE):
            raise RecipeError(
                f"a ConSE vector needs a linear classifier with one text a class; this network ends in {head} "
                f"and there are {len(class_text_KE)} class texts"
            )
        self.network, self.head = network, head
        self.register_buffer("class_text_KE", F.normalize(class_text_KE, dim=-1))
        config = network.pretrained_cfg
        self.preprocessing = ImagePreprocessing(
            size=size, mean=tuple(config["mean"]), std=tuple(config["std"]), fit="pad"
        )
        self.width: int = head.in_features + class_text_KE.shape[1]

    def extra_repr(self) -> str:
        """What the weights do not tell; `fingerprint` reads it."""
        architecture = self.network.pretrained_cfg.get("architecture")
        return f"network={architecture}, size={self.preprocessing.size}, gain={self.conse_gain}"

    def forward(self, pixels: Tensor) -> Tokens:
        """(B, 3, H, W) -> Tokens: the places of the feature map, and pooled features beside the ConSE vector."""
        size = self.preprocessing.size
        if pixels.shape[-1] != size:
            pixels = F.interpolate(pixels, (size, size), mode="bicubic", antialias=True, align_corners=False)
        raw = self.network.forward_features(pixels)
        feature = self.network.forward_head(raw, pre_logits=True)
        sequence = raw.flatten(2).transpose(1, 2) if raw.ndim == 4 else raw
        mask = torch.ones(sequence.shape[:2], dtype=torch.bool, device=sequence.device)
        return Tokens(sequence, mask, self.with_conse(feature))

    def with_conse(self, feature_BF: Tensor) -> Tensor:
        """Features (B, F) -> features beside their ConSE vector (B, F + E)."""
        return torch.cat([feature_BF, self.conse_gain * self.head(feature_BF).softmax(-1) @ self.class_text_KE], dim=1)


class JoinedTower(nn.Module):
    """Several ConSE towers over the same pixels, their pooled vectors end to end. -> (B, sum of widths)

    Networks or sizes that see different things are worth more together. Pixels come at the largest size; the sequence
    is that of the first tower.
    """

    def __init__(self, towers: Sequence[ConSETower]) -> None:
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self.preprocessing = max((tower.preprocessing for tower in towers), key=lambda prepared: prepared.size)
        self.width: int = sum(tower.width for tower in towers)

    def extra_repr(self) -> str:
        """What the weights do not tell; `fingerprint` reads it."""
        return "; ".join(tower.extra_repr() for tower in self.parts())

    def parts(self) -> list[ConSETower]:
        """The towers, in the order of their parts of the pooled vector."""
        return [tower for tower in self.towers if isinstance(tower, ConSETower)]

    def forward(self, pixels: Tensor) -> Tokens:
        """(B, 3, H, W) -> Tokens"""
        said = [tower(pixels) for tower in self.towers]
        return said[0]._replace(pooled=torch.cat([tokens.pooled for tokens in said], dim=1))


def class_stand_ins(tower: ConSETower | JoinedTower, pooled_NW: Tensor) -> Tensor:
    """A pooled vector for each class of a tower, at the mean and the spread of real ones (N, W). -> (K, W)"""
    towers = tower.parts() if isinstance(tower, JoinedTower) else [tower]
    parts = []
    for each, pooled_NX in zip(towers, pooled_NW.split([each.width for each in towers], dim=1), strict=True):
        feature_NF = pooled_NX[:, : each.head.in_features]
        mean_F = feature_NF.mean(dim=0)
        parts.append(classifier_features(each, mean_F, (feature_NF - mean_F).norm(dim=1).mean().item()))
    return torch.cat(parts, dim=1)


def classifier_features(tower: ConSETower, feature_mean_F: Tensor, typical_distance: float) -> Tensor:
    """A stand-in for the features of each class, made from its weights alone. -> (K, F + E)

    The weights, as differences from their mean, scaled to the distance that real features keep from theirs on average
    (`typical_distance`) and laid on `feature_mean_F`; negative values are cut, as the rectified features have none.
    """
    weight_KF = tower.head.weight.detach()
    direction_KF = weight_KF - weight_KF.mean(dim=0)
    scaled_KF = direction_KF * (typical_distance / direction_KF.norm(dim=1).mean())
    with torch.no_grad():
        return tower.with_conse((feature_mean_F + scaled_KF).clamp(min=0))


def class_texts(num_classes: int = 1000) -> list[tuple[str, ...]]:
    """What may be said of each ImageNet-1k class: names, one name, a photo of it, names with definition, definition.

    Names and definitions are WordNet's as timm ships them. Raises RecipeError for other numbers of classes.
    """
    if num_classes != 1000:
        raise RecipeError(f"class names are known for the 1,000 classes of ImageNet, not for {num_classes} classes")
    from timm.data.imagenet_info import ImageNetInfo

    info, texts = ImageNetInfo(), []
    for index in range(num_classes):
        names, _, definition = info.index_to_description(index, detailed=True).partition(": ")
        first = names.split(",")[0]
        said = (names, first, f"a photo of {first}", f"{names}: {definition}", f"{first}: {definition}", definition)
        texts.append(tuple(dict.fromkeys(text for text in said if text)))
    return texts
