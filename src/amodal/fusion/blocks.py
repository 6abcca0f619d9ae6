"""Residual layers that every fusion is made of.

B rows · L tokens · K tokens that are seen · D width
"""

import torch.nn.functional as F
from torch import Tensor, nn

from amodal.fusion.attention import Attention


class FeedForward(nn.Module):
    """Each token by itself through four times its width, and added back. (B, L, D) -> (B, L, D)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)"""
        return x_BLD + self.down(F.gelu(self.up(self.norm(x_BLD))))


class SelfBlock(nn.Module):
    """A pre-norm Transformer layer: tokens of one sequence look at each other. (B, L, D) -> (B, L, D)"""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.attention, self.feed = nn.LayerNorm(width), Attention(width, heads), FeedForward(width)

    def forward(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        """mask: (B, L) True = real. -> (B, L, D)"""
        normed = self.norm(x_BLD)
        return self.feed(x_BLD + self.attention(normed, normed, mask_BL))


class CrossBlock(nn.Module):
    """A pre-norm Transformer layer in which one sequence looks at another. (B, L, D) -> (B, L, D)"""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.seen_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.feed = Attention(width, heads), FeedForward(width)

    def forward(self, x_BLD: Tensor, seen_BKD: Tensor, seen_mask_BK: Tensor) -> Tensor:
        """-> (B, L, D)"""
        return self.feed(x_BLD + self.attention(self.norm(x_BLD), self.seen_norm(seen_BKD), seen_mask_BK))
