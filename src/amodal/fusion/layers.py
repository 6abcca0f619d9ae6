"""Ways for two sequences to meet, one layer each: `Pair` in, `Pair` out.

B rows · P places · L words · D width
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from amodal.fusion.blocks import CrossBlock, SelfBlock


class Pair(NamedTuple):
    """Places and words of one width on their way through a fusion; masks are True where a token is real."""

    image_BPD: Tensor
    image_mask_BP: Tensor
    text_BLD: Tensor
    text_mask_BL: Tensor

    def joined(self) -> tuple[Tensor, Tensor]:
        """Places, then words. -> (B, P + L, D), (B, P + L)"""
        sequence = torch.cat([self.image_BPD, self.text_BLD], dim=1)
        return sequence, torch.cat([self.image_mask_BP, self.text_mask_BL], dim=1)

    def moved(self, image_BPD: Tensor, text_BLD: Tensor) -> "Pair":
        """The same tokens with other vectors."""
        return Pair(image_BPD, self.image_mask_BP, text_BLD, self.text_mask_BL)


class Separate(nn.Module):
    """Places look at places, words at words, each with their own weights: the layer of separate encoders."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.image, self.text = SelfBlock(width, heads), SelfBlock(width, heads)

    def forward(self, pair: Pair) -> Pair:
        """-> Pair"""
        return pair.moved(self.image(pair.image_BPD, pair.image_mask_BP), self.text(pair.text_BLD, pair.text_mask_BL))


class Shared(nn.Module):
    """Places look at places, words at words, with the same weights: one network for both."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.block = SelfBlock(width, heads)

    def forward(self, pair: Pair) -> Pair:
        """-> Pair"""
        return pair.moved(self.block(pair.image_BPD, pair.image_mask_BP), self.block(pair.text_BLD, pair.text_mask_BL))


class Featurewise(nn.Module):
    """Every token beside the mean of the other modality, feature by feature, through one linear map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(2 * width, width)

    def forward(self, pair: Pair) -> Pair:
        """-> Pair"""
        image_B1D = masked_mean(pair.image_BPD, pair.image_mask_BP)[:, None]
        text_B1D = masked_mean(pair.text_BLD, pair.text_mask_BL)[:, None]
        return pair.moved(self._beside(pair.image_BPD, text_B1D), self._beside(pair.text_BLD, image_B1D))

    def _beside(self, x_BLD: Tensor, other_B1D: Tensor) -> Tensor:
        return self.map(torch.cat([x_BLD, other_B1D.expand_as(x_BLD)], dim=-1))


class Merged(nn.Module):
    """All tokens look at all, with the same weights: self-attention over the joined sequence (VisualBERT, Li et al.
    2019; ViLT, Kim et al. 2021)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.block = SelfBlock(width, heads)

    def forward(self, pair: Pair) -> Pair:
        """-> Pair"""
        sequence, mask = pair.joined()
        places = pair.image_BPD.shape[1]
        sequence = self.block(sequence, mask)
        return pair.moved(sequence[:, :places], sequence[:, places:])


class Cross(nn.Module):
    """Words look at places (as in ALBEF, Li et al. 2021), then places look at the words that have looked."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.image, self.text = CrossBlock(width, heads), CrossBlock(width, heads)

    def forward(self, pair: Pair) -> Pair:
        """-> Pair"""
        text_BLD = self.text(pair.text_BLD, pair.image_BPD, pair.image_mask_BP)
        return pair.moved(self.image(pair.image_BPD, text_BLD, pair.text_mask_BL), text_BLD)


class Co(nn.Module):
    """Words look at places and places at words, both at once: co-attention (ViLBERT, Lu et al. 2019)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.image, self.text = CrossBlock(width, heads), CrossBlock(width, heads)

    def forward(self, pair: Pair) -> Pair:
        """-> Pair"""
        image_BPD = self.image(pair.image_BPD, pair.text_BLD, pair.text_mask_BL)
        return pair.moved(image_BPD, self.text(pair.text_BLD, pair.image_BPD, pair.image_mask_BP))


def masked_mean(x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """The mean of the real tokens; zero where there are none. -> (B, D)"""
    weight_BL1 = mask_BL[..., None].to(x_BLD.dtype)
    return (x_BLD * weight_BL1).sum(dim=1) / weight_BL1.sum(dim=1).clamp(min=1)
