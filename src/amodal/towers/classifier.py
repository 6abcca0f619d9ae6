"""A supervised classifier is already half an alignment: its class weights are prototypes and its class names captions
(DeViSE, Frome et al. 2013; ConSE, Norouzi et al. 2014).

B pictures · K classes · F width of the classifier's features · E width of the text vectors · S of the style
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Tokens
from amodal.core.errors import RecipeError
from amodal.towers.image import ImagePreprocessing


class ConSETower(nn.Module):
    """A timm classifier whose pooled vector is its features, its ConSE vector and its style. -> (B, F + E + S)

    The ConSE vector is the mean of the class names' text vectors, weighted by the picture's class probabilities, so
    that what the classifier knows of words reaches the joint space. style: adds the mean and the standard deviation of
    each channel at every stage, which keep the colours and textures that a classifier's last layer forgets (the
    statistics of style of Huang & Belongie 2017). Raises RecipeError for a network without a classifier of K classes.
    """

    network: Any  # timm's networks have methods that nn.Module does not declare
    class_text_KE: Tensor
    conse_gain = 3.0  # brings the ConSE vector to the scale of a single feature; heads standardise it anyway

    def __init__(self, network: Any, class_text_KE: Tensor, *, size: int, style: bool = False) -> None:
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
        self.style = style
        was_training = network.training
        network.eval()
        with torch.no_grad():  # the network itself knows how many channels its stages have
            self.width: int = self(torch.zeros(1, 3, size, size)).pooled.shape[1]
        network.train(was_training)

    def extra_repr(self) -> str:
        """What the weights do not tell; `fingerprint` reads it."""
        architecture = self.network.pretrained_cfg.get("architecture")
        return f"network={architecture}, size={self.preprocessing.size}, gain={self.conse_gain}, style={self.style}"

    def forward(self, pixels: Tensor) -> Tokens:
        """(B, 3, H, W) -> Tokens: the places of the feature map, and the pooled vector."""
        if self.style:
            raw, stages = self.network.forward_intermediates(pixels)
        else:
            raw, stages = self.network.forward_features(pixels), []
        pooled = self.with_conse(self.network.forward_head(raw, pre_logits=True))
        styles = [part for stage in stages for part in _style(stage)]
        sequence = raw.flatten(2).transpose(1, 2) if raw.ndim == 4 else raw
        mask = torch.ones(sequence.shape[:2], dtype=torch.bool, device=sequence.device)
        return Tokens(sequence, mask, torch.cat([pooled, *styles], dim=1))

    def with_conse(self, feature_BF: Tensor) -> Tensor:
        """Features (B, F) -> features beside their ConSE vector (B, F + E)."""
        return torch.cat([feature_BF, self.conse_gain * self.head(feature_BF).softmax(-1) @ self.class_text_KE], dim=1)


def _style(stage: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel (B, C, H, W). -> (B, C) each"""
    mean = stage.mean((2, 3), keepdim=True)
    variance = (stage - mean).square().mean((2, 3))  # torch.std takes 17 times as long on a CPU
    return mean.flatten(1), variance.clamp(min=1e-12).sqrt()


def class_stand_ins(tower: ConSETower, pooled_NW: Tensor) -> Tensor:
    """A pooled vector for each class of a tower, at the mean and the spread of real ones (N, W). -> (K, W)

    A class says nothing of style: that part is borrowed from real pictures in turn, so that a head learns to do
    without it.
    """
    feature_NF = pooled_NW[:, : tower.head.in_features]
    mean_F = feature_NF.mean(dim=0)
    known_KX = classifier_features(tower, mean_F, (feature_NF - mean_F).norm(dim=1).mean().item())
    borrowed_K = torch.arange(len(known_KX)) % len(pooled_NW)
    return torch.cat([known_KX, pooled_NW[borrowed_K, known_KX.shape[1] :]], dim=1)


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
