"""The fusions: image `Tokens` and text `Tokens` in, joint `Tokens` out.

B rows · P places · L words · Q queries · D width
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from amodal.core.batch import Tokens
from amodal.fusion.blocks import CrossBlock, SelfBlock
from amodal.fusion.joins import Concatenation, GatedSum, LowRankBilinear, Product
from amodal.fusion.layers import Co, Cross, Featurewise, Merged, Pair, Separate, Shared, masked_mean
from amodal.fusion.places import LearntPlaces, SinePlaces


@dataclass(frozen=True, kw_only=True)
class FusionSize:
    """What a fusion is built for. image_width, text_width: of the tokens that come in; width: of those that go out;
    grid: rows and columns of places; depth: layers."""

    image_width: int
    text_width: int
    width: int
    heads: int
    depth: int
    grid: tuple[int, int]
    places: Literal["sine", "learnt"] = "sine"


class Inputs(nn.Module):
    """Tokens of any two widths, brought to one, and places told where they are. -> Pair"""

    def __init__(self, size: FusionSize) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.LayerNorm(size.image_width), nn.Linear(size.image_width, size.width))
        self.text = nn.Sequential(nn.LayerNorm(size.text_width), nn.Linear(size.text_width, size.width))
        self.places = (SinePlaces if size.places == "sine" else LearntPlaces)(size.width, size.grid)
        self.kind = nn.Parameter(0.02 * torch.randn(2, size.width))  # tells a place from a word

    def forward(self, image: Tokens, text: Tokens) -> Pair:
        """image.sequence: (B, P, image_width), the grid's places first; text.sequence: (B, L, text_width). -> Pair"""
        image_BPD = self.places(self.image(image.sequence), image.mask) + self.kind[0]
        return Pair(image_BPD, image.mask, self.text(text.sequence) + self.kind[1], text.mask)


class LayeredFusion(nn.Module):
    """Two sequences through layers that each let them meet, or not, and then joined.

    -> Tokens: sequence (B, P + L, D), places then words, zero where padded; pooled (B, D), the join of the mean place
    and the mean word. Of a modality that is absent from a row (no real token) a learnt vector stands for the mean.
    """

    def __init__(self, inputs: Inputs, layers: Sequence[nn.Module], join: nn.Module, width: int) -> None:
        super().__init__()
        self.width = width
        self.inputs, self.layers, self.join = inputs, nn.ModuleList(layers), join
        self.image_norm, self.text_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.absent = nn.Parameter(torch.zeros(2, width))

    def forward(self, image: Tokens, text: Tokens) -> Tokens:
        """-> Tokens"""
        pair = self.inputs(image, text)
        for layer in self.layers:
            pair = layer(pair)
        pair = pair.moved(self.image_norm(pair.image_BPD), self.text_norm(pair.text_BLD))
        sequence, mask = pair.joined()
        image_BD = self._mean(pair.image_BPD, pair.image_mask_BP, self.absent[0])
        text_BD = self._mean(pair.text_BLD, pair.text_mask_BL, self.absent[1])
        return Tokens(sequence * mask[..., None], mask, self.join(image_BD, text_BD))

    @staticmethod
    def _mean(x_BLD: Tensor, mask_BL: Tensor, absent_D: Tensor) -> Tensor:
        return torch.where(mask_BL.any(dim=1, keepdim=True), masked_mean(x_BLD, mask_BL), absent_D)


class QueryFusion(nn.Module):
    """Learnt queries look at places and words and at each other: a bottleneck of few tokens whatever comes in
    (Perceiver, Jaegle et al. 2021; Q-Former, Li et al. 2023).

    -> Tokens: sequence (B, Q, D), all real; pooled (B, D), their mean.
    """

    def __init__(self, size: FusionSize, queries: int = 16) -> None:
        super().__init__()
        self.width = size.width
        self.inputs = Inputs(size)
        self.queries = nn.Parameter(0.02 * torch.randn(queries, size.width))
        self.looks = nn.ModuleList(CrossBlock(size.width, size.heads) for _ in range(size.depth))
        self.layers = nn.ModuleList(SelfBlock(size.width, size.heads) for _ in range(size.depth))
        self.norm = nn.LayerNorm(size.width)

    def forward(self, image: Tokens, text: Tokens) -> Tokens:
        """-> Tokens"""
        seen, seen_mask = self.inputs(image, text).joined()
        x = self.queries.expand(len(seen), -1, -1)
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        for look, layer in zip(self.looks, self.layers, strict=True):
            x = layer(look(x, seen, seen_mask), mask)
        x = self.norm(x)
        return Tokens(x, mask, x.mean(dim=1))


Join = Literal["concatenation", "product", "gated", "bilinear"]
Meeting = Literal["self", "cross", "co"]
JOINS: Mapping[Join, Callable[[int], nn.Module]] = MappingProxyType(
    {"concatenation": Concatenation, "product": Product, "gated": GatedSum, "bilinear": LowRankBilinear}
)
MEETINGS: Mapping[Meeting, Callable[[int, int], nn.Module]] = MappingProxyType(
    {"self": Merged, "cross": Cross, "co": Co}
)


def early_fusion(size: FusionSize, join: Join = "concatenation") -> LayeredFusion:
    """Features joined at the input of one network: each token beside the mean of the other modality."""
    layers = [Featurewise(size.width), *(Shared(size.width, size.heads) for _ in range(size.depth))]
    return _layered(size, layers, join)


def late_fusion(size: FusionSize, join: Join = "concatenation") -> LayeredFusion:
    """Separate encoders whose pooled vectors alone meet."""
    return _layered(size, [Separate(size.width, size.heads) for _ in range(size.depth)], join)


def attention_fusion(size: FusionSize, meeting: Meeting, join: Join = "concatenation") -> LayeredFusion:
    """Layers that do nothing but let the two meet: over the joined sequence ("self"), one after the other ("cross"), or
    both at once ("co")."""
    return _layered(size, [MEETINGS[meeting](size.width, size.heads) for _ in range(size.depth)], join)


def deep_fusion(size: FusionSize, meeting: Meeting, join: Join = "concatenation") -> LayeredFusion:
    """Layers of separate encoders and layers that let the two meet, interleaved, as in ViLBERT (Lu et al. 2019) and
    LXMERT (Tan & Bansal 2019). depth counts both together, one of each."""
    layers = []
    for _ in range(size.depth):
        layers += [Separate(size.width, size.heads), MEETINGS[meeting](size.width, size.heads)]
    return _layered(size, layers, join)


def _layered(size: FusionSize, layers: Sequence[nn.Module], join: Join) -> LayeredFusion:
    return LayeredFusion(Inputs(size), layers, JOINS[join](size.width), size.width)


FUSIONS: Mapping[str, Callable[[FusionSize], LayeredFusion | QueryFusion]] = MappingProxyType(
    {
        "early": early_fusion,
        **{f"late-{join}": partial(late_fusion, join=join) for join in JOINS},
        **{f"{meeting}-attention": partial(attention_fusion, meeting=meeting) for meeting in MEETINGS},
        **{f"deep-{meeting}-attention": partial(deep_fusion, meeting=meeting) for meeting in MEETINGS},
        "queries": QueryFusion,
    }
)
"""Every fusion by name."""
