"""Our own text tower: a pre-norm Transformer (Vaswani et al. 2017) as CLIP uses it (Radford et al. 2021).

B texts · L tokens · D width · T tokens that are computed · U distinct texts
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Tokens


class TextTransformer(nn.Module):
    """Token ids (B, L) and their mask -> Tokens (B, L, D). Padding never changes a result, and is not computed.

    causal: each token sees only those before it, as in CLIP; otherwise all real tokens. What texts of a batch begin
    with in common, a causal tower computes once for all of them, unless dropout tells them apart.
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
        self.heads, self.dropout = heads, dropout
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
        """ids: (B, L) int64; mask: (B, L) True = real, the real ones first; L at most `context_length`. -> Tokens"""
        shared = self.causal and not (self.training and self.dropout > 0)
        places = _places(ids, mask, causal=self.causal, shared=shared)
        x = self.embedding(ids.flatten()[places.computed]) + self.position[places.computed % ids.shape[1]]
        for block in self.blocks:
            x = block(x, places)
        sequence = places.spread(self.norm(x)) * mask[..., None]
        return Tokens(sequence, mask, self._pool(sequence, mask))

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

    def forward(self, x: Tensor, places: "_Places") -> Tensor:
        """(T, D) -> (T, D): only attention needs to know where each token stands."""
        q, k, v = (
            places.spread(self.qkv(self.attention_norm(x))).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        rate = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, places.allowed, dropout_p=rate, is_causal=places.causal)
        x = x + F.dropout(self.out(places.gather(mixed.transpose(1, 2).flatten(2))), rate)
        return x + F.dropout(self.down(F.gelu(self.up(self.feed_norm(x)))), rate)


class _Places(NamedTuple):
    """Which places of a (B, L) batch are computed, and whose result each place takes.

    computed: (T,) numbers of places; source: (B, L) numbers below T; allowed: (B, 1, 1, L) which tokens may be seen;
    causal: only those before; padding comes last, so that this alone keeps real tokens from seeing it.
    """

    computed: Tensor
    source: Tensor
    allowed: Tensor | None
    causal: bool

    def spread(self, x_TD: Tensor) -> Tensor:
        """-> (B, L, D)"""
        return x_TD.index_select(0, self.source.flatten()).unflatten(0, self.source.shape)

    def gather(self, x_BLD: Tensor) -> Tensor:
        """-> (T, D)"""
        return x_BLD.flatten(0, 1).index_select(0, self.computed)


def _places(ids: Tensor, mask: Tensor, *, causal: bool, shared: bool) -> _Places:
    """shared: a token whose text begins as another does takes that one's result."""
    allowed = None if causal or mask.all() else mask[:, None, None, :]
    if torch.compiler.is_compiling():  # shapes must not depend on what is in the batch
        source = torch.arange(ids.numel(), device=ids.device)
        return _Places(source, source.view_as(ids), allowed, causal)
    real = mask.clone()
    real[:, 0] = True  # an empty text keeps one place; its result is masked out
    if not shared:
        source = real.flatten().cumsum(0).view_as(ids) - 1
        return _Places(real.flatten().nonzero()[:, 0], source, allowed, causal)
    text_UL, text_B = ids.masked_fill(~real, -1).unique(dim=0, return_inverse=True)  # sorted: alike are neighbours
    fresh_UL = text_UL >= 0
    fresh_UL[1:] &= (text_UL[1:] != text_UL[:-1]).cummax(dim=1).values
    number_UL = (fresh_UL.flatten().cumsum(0).view_as(text_UL) - 1).where(fresh_UL, 0)
    text, place = fresh_UL.nonzero().T
    row_U = text_B.new_empty(len(text_UL)).scatter_(0, text_B, torch.arange(len(ids), device=ids.device))
    return _Places(row_U[text] * ids.shape[1] + place, number_UL.cummax(dim=0).values[text_B], allowed, causal)
