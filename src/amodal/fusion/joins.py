"""Two vectors into one: how late fusion joins what each modality came to.

B rows · D width · R rank
"""

import torch
from torch import Tensor, nn


class Concatenation(nn.Module):
    """A linear map of both side by side. (B, D), (B, D) -> (B, D)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Linear(2 * width, width)

    def forward(self, image_BD: Tensor, text_BD: Tensor) -> Tensor:
        """-> (B, D)"""
        return self.out(torch.cat([image_BD, text_BD], dim=-1))


class Product(nn.Module):
    """The element-wise product of linear maps, as in the first VQA model (Antol et al. 2015). -> (B, D)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, image_BD: Tensor, text_BD: Tensor) -> Tensor:
        """-> (B, D)"""
        return self.image(image_BD) * self.text(text_BD)


class GatedSum(nn.Module):
    """A gate computed from both decides, feature by feature, which to take (GMU, Arevalo et al. 2017). -> (B, D)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.image, self.text, self.gate = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(2 * width, width)

    def forward(self, image_BD: Tensor, text_BD: Tensor) -> Tensor:
        """-> (B, D)"""
        gate = self.gate(torch.cat([image_BD, text_BD], dim=-1)).sigmoid()
        return gate * self.image(image_BD).tanh() + (1 - gate) * self.text(text_BD).tanh()


class LowRankBilinear(nn.Module):
    """Every product of a feature of one with a feature of the other, by weights of low rank (MLB, Kim et al. 2017;
    for the full products see Fukui et al. 2016). -> (B, D)

    rank: by default twice the width.
    """

    def __init__(self, width: int, rank: int | None = None) -> None:
        super().__init__()
        rank = 2 * width if rank is None else rank
        self.image, self.text, self.out = nn.Linear(width, rank), nn.Linear(width, rank), nn.Linear(rank, width)

    def forward(self, image_BD: Tensor, text_BD: Tensor) -> Tensor:
        """-> (B, D)"""
        return self.out(self.image(image_BD).tanh() * self.text(text_BD).tanh())
