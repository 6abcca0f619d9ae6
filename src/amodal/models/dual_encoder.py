"""Two towers, two heads, one space: CLIP (Radford et al. 2021), ALIGN (Jia et al. 2021), LiT (Zhai et al. 2022).

B pairs · D width of the joint space · F width of a tower
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Batch, Tokens


class PairFeatures(NamedTuple):
    """Both sides of every pair of a batch, (B, D) each, of unit length."""

    image_BD: Tensor
    text_BD: Tensor


class Standardise(nn.Module):
    """Inputs (B, F) at mean 0 and standard deviation 1, each by itself, once `fit` has measured them. -> (B, F)

    root: takes the square root first and keeps the sign (Perronnin et al. 2010), so that a few loud features do not
    drown the others.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, *, root: bool = False) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))
        self.root = root

    @torch.no_grad()
    def fit(self, pooled_NF: Tensor) -> None:
        """Measures the mean and the standard deviation of these rows."""
        x = self._rooted(pooled_NF)
        self.mean.copy_(x.mean(dim=0))
        self.std.copy_(x.std(dim=0).clamp(min=1e-4))

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, F) -> (B, F)."""
        return (self._rooted(pooled) - self.mean) / self.std

    def _rooted(self, x: Tensor) -> Tensor:
        return x.sign() * x.abs().sqrt() if self.root else x


class ProjectionHead(nn.Module):
    """A pooled vector (B, F) -> a unit vector (B, D).

    hidden: 0 for one linear map without bias, as CLIP has it; else a two-layer network of that width. noise: standard
    deviation of what is added to the standardised inputs while training; root: see `Standardise`.
    """

    def __init__(
        self,
        width: int,
        out: int,
        *,
        hidden: int = 0,
        dropout: float = 0.0,
        noise: float = 0.0,
        root: bool = False,
    ) -> None:
        super().__init__()
        self.inputs = Standardise(width, root=root)
        self.noise = noise
        if hidden:
            layers = (
                nn.Dropout(dropout),
                nn.Linear(width, hidden),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(hidden, out),
            )
        else:
            layers = (nn.Dropout(dropout), nn.Linear(width, out, bias=False))
        self.layers = nn.Sequential(*layers)

    def fit_inputs(self, pooled_NF: Tensor) -> None:
        """Standardises by the mean and standard deviation of these rows, a width each."""
        self.inputs.fit(pooled_NF)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, F) -> (B, D) of unit length."""
        x = self.inputs(pooled)
        if self.training and self.noise > 0:
            x = x + self.noise * torch.randn_like(x)
        return F.normalize(self.layers(x), dim=-1)


class UnitLength(nn.Module):
    """The head of a tower whose pooled vector (B, D) lies in the joint space already."""

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, D) -> (B, D) of unit length."""
        return F.normalize(pooled, dim=-1)


class DualEncoder(nn.Module):
    """An image tower and a text tower with a head each; frozen towers may be fed as cached `Tokens`."""

    image_tower: Any  # any module of `amodal.towers`, or one like them
    text_tower: Any
    image_head: Any
    text_head: Any

    def __init__(
        self, image_tower: nn.Module, text_tower: nn.Module, image_head: nn.Module, text_head: nn.Module
    ) -> None:
        super().__init__()
        self.image_tower, self.text_tower = image_tower, text_tower
        self.image_head, self.text_head = image_head, text_head

    def encode_image(self, image: Tensor | Tokens) -> Tensor:
        """Pixels (B, 3, H, W), or what the tower said of them. -> (B, D) of unit length"""
        return self.image_head((image if isinstance(image, Tokens) else self.image_tower(image)).pooled)

    def encode_text(self, text: tuple[Tensor, Tensor] | Tokens) -> Tensor:
        """(ids (B, L), mask (B, L)), or what the tower said of them. -> (B, D) of unit length"""
        return self.text_head((text if isinstance(text, Tokens) else self.text_tower(*text)).pooled)

    def forward(self, batch: Batch) -> PairFeatures:
        """Encodes whichever form of each modality the batch holds. Raises ValueError when one is absent."""
        image = batch.image if batch.image is not None else batch.pixels
        text = batch.text
        if text is None and batch.ids is not None and batch.ids_mask is not None:
            text = (batch.ids, batch.ids_mask)
        if image is None or text is None:
            missing = "image" if image is None else "text"
            raise ValueError(f"a dual encoder needs both sides of a pair; this batch has no {missing}")
        return PairFeatures(self.encode_image(image), self.encode_text(text))
