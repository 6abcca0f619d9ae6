"""Both sides of a model that another library built, each as a tower; how such a model prepares pictures.

B rows · L tokens · F width of the joint space
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor, nn

from amodal.core.batch import Tokens

ReadPixels = Callable[[Any, Tensor], Tensor]
"""A network and pixels as its own preparation gives them -> (B, F)."""
ReadWords = Callable[[Any, Tensor, Tensor], Tensor]
"""A network, ids (B, L) and mask (B, L) True = real -> (B, F)."""


@dataclass(frozen=True)
class OwnPreparation:
    """The preparation that a model came with: an RGB picture -> a tensor of its own shape, the same for every picture.

    told: all that decides the result, for fingerprints. size is None: to agree with its library a model must see
    every pixel of a file, and not a JPEG decoded at a smaller scale.
    """

    prepare: Callable[[Image.Image], Tensor] = field(repr=False)
    told: str
    size: None = None


class Foreign(NamedTuple):
    """What another library gives: one network, how both its sides are asked, and what goes before them.

    settings: what its weights do not tell, for fingerprints; tokenizer: the library's own; context_length: tokens of
    the longest text; fixed_length: every text is padded to that; logit_scale: the logarithm of what cosines are
    multiplied by.
    """

    network: Any
    read_pixels: ReadPixels
    read_words: ReadWords
    preparation: OwnPreparation
    tokenizer: Any
    context_length: int
    fixed_length: bool
    logit_scale: float
    settings: str


class ForeignImageTower(nn.Module):
    """The image side. Pixels as its preparation gives them -> Tokens that hold the pooled vector (B, F) alone."""

    def __init__(self, foreign: Foreign) -> None:
        super().__init__()
        self.preprocessing, self._read, self._settings = foreign.preparation, foreign.read_pixels, foreign.settings
        probe = foreign.preparation.prepare(Image.new("RGB", (64, 48)))[None]
        self.network, self.width = _side(foreign.network, lambda network: foreign.read_pixels(network, probe))

    def extra_repr(self) -> str:
        """What the weights do not tell; `fingerprint` reads it."""
        return self._settings

    def forward(self, pixels: Tensor) -> Tokens:
        """(B, ...) -> Tokens (B, 1, F)"""
        return _pooled_alone(self._read(self.network, pixels))


class ForeignTextTower(nn.Module):
    """The text side. Ids (B, L) and mask -> Tokens that hold the pooled vector (B, F) alone."""

    def __init__(self, foreign: Foreign) -> None:
        super().__init__()
        self.context_length, self._read, self._settings = foreign.context_length, foreign.read_words, foreign.settings
        ids = torch.zeros(1, self.context_length, dtype=torch.int64)
        self.network, self.width = _side(
            foreign.network, lambda network: foreign.read_words(network, ids, torch.ones_like(ids, dtype=torch.bool))
        )

    def extra_repr(self) -> str:
        """What the weights do not tell; `fingerprint` reads it."""
        return self._settings

    def forward(self, ids: Tensor, mask: Tensor) -> Tokens:
        """ids: (B, L) int64; mask: (B, L) True = real. -> Tokens (B, 1, F)"""
        return _pooled_alone(self._read(self.network, ids, mask))


def _pooled_alone(pooled_BF: Tensor) -> Tokens:
    mask = torch.ones(len(pooled_BF), 1, dtype=torch.bool, device=pooled_BF.device)
    return Tokens(pooled_BF[:, None], mask, pooled_BF)


@torch.no_grad()
def _side(network: Any, ask: Callable[[Any], Tensor]) -> tuple[Any, int]:
    """The network without the parts that this question does not reach, and the width of the answer.

    So the weights of a side have a name of their own, and are read once for it.
    """
    network.eval()
    used: set[str] = set()
    hooks = [
        part.register_forward_hook(lambda *_, name=name: used.add(name)) for name, part in network.named_children()
    ]
    width = ask(network).shape[1]
    for hook in hooks:
        hook.remove()
    side = copy(network)
    side._modules = {name: part for name, part in network._modules.items() if name in used}
    return side, width
