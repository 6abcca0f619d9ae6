"""Two towers, two heads, one space: CLIP (Radford et al. 2021), ALIGN (Jia et al. 2021), LiT (Zhai et al. 2022).

B pairs · D width of the joint space · F width of a tower
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Batch, Tokens


class PairFeatures(NamedTuple):
    """Both sides of every pair of a batch, (B, D) each, of unit length."""

    image_BD: Tensor
    text_BD: Tensor


class ProjectionHead(nn.Module):
    """A pooled vector (B, F) -> a unit vector (B, D).

    hidden: 0 for one linear map without bias, as CLIP has it; else a two-layer network of that width.
    Inputs are standardised by `input_mean` and `input_std`, which `fit_inputs` measures once for frozen towers.
    """

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, width: int, out: int, *, hidden: int = 0, dropout: float = 0.0, noise: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("input_mean", torch.zeros(width))
        self.register_buffer("input_std", torch.ones(width))
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

    @torch.no_grad()
    def fit_inputs(self, pooled_NF: Tensor) -> None:
        """Standardises by the mean and standard deviation of these rows, a width each."""
        self.input_mean.copy_(pooled_NF.mean(dim=0))
        self.input_std.copy_(pooled_NF.std(dim=0).clamp(min=1e-4))

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, F) -> (B, D) of unit length."""
        x = (pooled - self.input_mean) / self.input_std
        if self.training and self.noise > 0:
            x = x + self.noise * torch.randn_like(x)
        return F.normalize(self.layers(x), dim=-1)


class EnsembleHead(nn.Module):
    """Several heads side by side: (B, F) -> (B, K D), each part of length 1/sqrt(K).

    The inner product of two such vectors is the mean of the K cosines, so an ensemble is one unit vector to everyone
    downstream. `parts` cuts it up again, for a loss that trains each head by itself.
    """

    def __init__(self, heads: Iterable[ProjectionHead]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def fit_inputs(self, pooled_NF: Tensor) -> None:
        """Standardises every head's inputs; see `ProjectionHead.fit_inputs`."""
        for head in self.heads:
            assert isinstance(head, ProjectionHead)
            head.fit_inputs(pooled_NF)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, F) -> (B, K D) of unit length."""
        return torch.cat([head(pooled) for head in self.heads], dim=-1) / len(self.heads) ** 0.5


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
