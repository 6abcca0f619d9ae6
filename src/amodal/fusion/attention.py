"""Attention between any two sequences, with maps on request.

B rows · Q tokens that ask · K tokens that are seen · H heads · D width
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017) of one sequence to another, or to itself.

    A token that is not real is never seen; where none is real, what is taken over is zero. Raises ValueError for a
    width that the heads do not divide.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.query, self.key_value, self.out = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )
        self.recorded: list[Tensor] | None = None  # see `attention_maps`
        for layer in (self.query, self.key_value):
            nn.init.normal_(layer.weight, std=width**-0.5)
        for layer in (self.query, self.key_value, self.out):
            nn.init.zeros_(layer.bias)

    def forward(self, asking_BQD: Tensor, seen_BKD: Tensor, seen_mask_BK: Tensor) -> Tensor:
        """What each asking token takes over from the real ones that it sees. -> (B, Q, D)"""
        q = self.query(asking_BQD).unflatten(2, (self.heads, -1)).transpose(1, 2)
        k, v = self.key_value(seen_BKD).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        allowed, some_B111 = _allowed(seen_mask_BK)
        if self.recorded is not None:
            self.recorded.append(_weights(q, k, seen_mask_BK))
        mixed = F.scaled_dot_product_attention(q, k, v, allowed)
        if some_B111 is not None:
            mixed = mixed * some_B111
        return self.out(mixed.transpose(1, 2).flatten(2))


@contextmanager
def attention_maps(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Inside, each `Attention` of the model keeps how much every token looked at every other, detached.

    -> name of the layer -> for each call the weights (B, H, Q, K): rows sum to one, or are zero where nothing is real.
    Without it no weight is ever computed.
    """
    layers = {name: part for name, part in model.named_modules() if isinstance(part, Attention)}
    maps: dict[str, list[Tensor]] = {name: [] for name in layers}
    for name, layer in layers.items():
        layer.recorded = maps[name]
    try:
        yield maps
    finally:
        for layer in layers.values():
            layer.recorded = None


def _allowed(mask_BK: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """What scaled_dot_product_attention may see, and which rows have anything to see; None for all.

    A row without a real token is let see everything, for a softmax over nothing is not a number; it is zeroed later.
    """
    if not torch.compiler.is_compiling() and mask_BK.all():
        return None, None
    some_B1 = mask_BK.any(dim=1, keepdim=True)
    return (mask_BK | ~some_B1)[:, None, None, :], some_B1[:, :, None, None]


@torch.no_grad()
def _weights(q: Tensor, k: Tensor, mask_BK: Tensor) -> Tensor:
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    return scores.masked_fill(~mask_BK[:, None, None, :], float("-inf")).softmax(-1).nan_to_num(0.0)
