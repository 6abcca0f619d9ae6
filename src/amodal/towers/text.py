"""Our own text tower: a pre-norm Transformer (Vaswani et al. 2017) as CLIP uses it (Radford et al. 2021).

B texts · L tokens · D width
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Tokens


class TextTransformer(nn.Module):
    """Token ids (B, L) and their mask -> Tokens (B, L, D). Padding never changes a result.

    causal: each token sees only those before it, as in CLIP; otherwise all real tokens.
    pooling: "end" takes the last real token, "mean" the mean of the real ones.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        width: int,
        depth: int,
        heads: int,
        context_length: int,
        causal: bool = True,
        pooling: Literal["end", "mean"] = "end",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.width, self.context_length, self.causal, self.pooling = width, context_length, causal, pooling
        self.heads = heads
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.empty(context_length, width))
        blocks = [_Block(width, heads, dropout) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.position, std=0.01)
        for block in blocks:
            block.initialise(depth)

    def extra_repr(self) -> str:
        """What the weights do not tell; `fingerprint` reads it."""
        return f"heads={self.heads}, causal={self.causal}, pooling={self.pooling}"

    def forward(self, ids: Tensor, mask: Tensor) -> Tokens:
        """ids: (B, L) int64; mask: (B, L) True = real; L at most `context_length`. -> Tokens"""
        length = ids.shape[1]
        x = self.embedding(ids) + self.position[:length]
        allowed = mask[:, None, None, :]
        if self.causal:
            allowed = allowed & torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        for block in self.blocks:
            x = block(x, allowed)
        x = self.norm(x) * mask[..., None]
        return Tokens(x, mask, self._pool(x, mask))

    def _pool(self, x: Tensor, mask: Tensor) -> Tensor:
        length = mask.sum(dim=1).clamp(min=1)
        if self.pooling == "end":
            return x[torch.arange(len(x), device=x.device), length - 1]
        return x.sum(dim=1) / length[:, None]


class _Block(nn.Module):
    """Self-attention, then a feed-forward of four times the width, each on a normalised copy and added back."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def initialise(self, depth: int) -> None:
        """CLIP's initial scales: the residual branches shrink with depth."""
        width = self.out.in_features
        nn.init.normal_(self.qkv.weight, std=width**-0.5)
        nn.init.normal_(self.up.weight, std=(2 * width) ** -0.5)
        for last in (self.out, self.down):
            nn.init.normal_(last.weight, std=width**-0.5 * (2 * depth) ** -0.5)
        for layer in (self.qkv, self.out, self.up, self.down):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        rate = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=rate)
        x = x + F.dropout(self.out(mixed.transpose(1, 2).reshape(batch, length, width)), rate)
        return x + F.dropout(self.down(F.gelu(self.up(self.feed_norm(x)))), rate)
