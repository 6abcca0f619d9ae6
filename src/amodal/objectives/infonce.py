"""InfoNCE over a batch of pairs (van den Oord et al. 2018), symmetric as in CLIP (Radford et al. 2021), without the
B x B matrix: it is made a tile at a time, once for the sums and once more for the gradient, and never kept.

B pairs · D width · R C rows and columns of a tile
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

INITIAL_SCALE = math.log(1 / 0.07)
LARGEST_SCALE = math.log(100.0)
TILE = 1024  # rows and columns: its 4 MB stay in the cache between the product and what is made of it
_ROOM = {torch.float32: 76.0, torch.float64: 690.0}  # e to this, times a batch, is still a number of that type


def info_nce(
    image_BD: Tensor,
    text_BD: Tensor,
    logit_scale: Tensor,
    pair_id: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Pulls the two sides of a pair together and apart from every other pair of the batch. -> scalar

    image_BD, text_BD: (B, D) of unit length, row i of one belongs to row i of the other; logit_scale: scalar, the
    logarithm of the inverse temperature; pair_id: (B,) integers, rows with the same id are positives of each other and
    share the target evenly (Khosla et al. 2020, the sum outside the logarithm); label_smoothing: this share of every
    target is spread over the batch (Szegedy et al. 2016). The mean of both directions. Memory grows with B D; half
    precision is computed in float32. Raises ValueError for sides of different shape and for logits beyond 345.

    With one positive a row the loss is at most ln(B) for features that carry nothing; prefer a triplet loss only when
    a margin is what you need.

    >>> x = torch.nn.functional.normalize(torch.eye(4), dim=1)
    >>> round(info_nce(x, x, torch.tensor(0.0)).item(), 4)
    0.7437
    """
    if image_BD.shape != text_BD.shape:
        raise ValueError(f"image {tuple(image_BD.shape)} and text {tuple(text_BD.shape)} differ in shape")
    group_B = torch.arange(len(image_BD), device=image_BD.device)
    if pair_id is not None:
        group_B, order = pair_id.unique(return_inverse=True)[1].sort(stable=True)
        image_BD, text_BD = image_BD[order], text_BD[order]  # now positives lie together, near the diagonal
    if image_BD.dtype not in _ROOM:
        image_BD, text_BD = image_BD.float(), text_BD.float()
    with torch.autocast(image_BD.device.type, enabled=False):
        loss: Any = _TiledInfoNCE.apply(image_BD, text_BD, logit_scale.to(image_BD.dtype), group_B, label_smoothing)
    return loss


class _TiledInfoNCE(torch.autograd.Function):
    """Equal groups of rows are neighbours. e^(logit - shift) is summed over rows and columns in one pass, and the
    gradient by the logits is e^(logit - shift) (1 / row sum + 1 / column sum) - 2 target in the other."""

    @staticmethod
    def forward(
        ctx: Any, image_BD: Tensor, text_BD: Tensor, logit_scale: Tensor, group_B: Tensor, smoothing: float
    ) -> Tensor:
        """The loss; positives and smoothing are sums of vectors, so only the normalisers need tiles."""
        scaled_BD = image_BD * logit_scale.exp()
        row_B, column_B, shift = _sums(scaled_BD, text_BD)
        size = len(image_BD)
        count_G = group_B.bincount()
        summed_GD, said_GD = (
            x.new_zeros(len(count_G), x.shape[1]).index_add_(0, group_B, x) for x in (scaled_BD, text_BD)
        )
        right = ((summed_GD * said_GD).sum(1) / count_G).sum()
        spread = (scaled_BD.sum(0) * text_BD.sum(0)).sum() / size
        ctx.save_for_backward(scaled_BD, text_BD, logit_scale, group_B, count_G, row_B, column_B)
        ctx.shift, ctx.smoothing = shift, smoothing
        total = (row_B.log().sum() + column_B.log().sum()) / 2 + size * shift
        return ((total - (1 - smoothing) * right - smoothing * spread) / size).to(image_BD.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients by both sides and by the logarithm of the scale."""
        scaled_BD, text_BD, logit_scale, group_B, count_G, row_B, column_B = ctx.saved_tensors
        size, smoothing = len(scaled_BD), ctx.smoothing
        by_row_B, by_column_B = (0.5 / size / total for total in (row_B, column_B))
        target_B = (1 - smoothing) / size / count_G[group_B].to(scaled_BD.dtype)
        image_grad_BD = scaled_BD.new_zeros(scaled_BD.shape) - smoothing / size**2 * text_BD.sum(0)
        text_grad_BD = text_BD.new_zeros(text_BD.shape) - smoothing / size**2 * scaled_BD.sum(0)
        weight = torch.empty(TILE * TILE, dtype=by_row_B.dtype, device=by_row_B.device)
        for rows, columns, tile_RC in _tiles(scaled_BD, text_BD, ctx.shift, row_B.dtype):
            weight_RC = weight[: tile_RC.numel()].view_as(tile_RC)
            torch.add(by_row_B[rows, None], by_column_B[None, columns], out=weight_RC)
            tile_RC.mul_(weight_RC)
            if group_B[rows][-1] >= group_B[columns][0] and group_B[columns][-1] >= group_B[rows][0]:
                tile_RC -= (group_B[rows, None] == group_B[None, columns]) * target_B[rows, None]
            part_RC = tile_RC.to(scaled_BD.dtype)
            image_grad_BD[rows].addmm_(part_RC, text_BD[columns])
            text_grad_BD[columns].addmm_(part_RC.T, scaled_BD[rows])
        scale_grad = (image_grad_BD * scaled_BD).sum()  # the sum of gradient times logit, over all pairs
        (given,) = grads
        image_grad_BD *= logit_scale.exp()
        return image_grad_BD * given, text_grad_BD * given, scale_grad * given, None, None


def _sums(scaled_BD: Tensor, text_BD: Tensor) -> tuple[Tensor, Tensor, float]:
    """The sums over rows and over columns of e^(logit - shift), (B,) each, and the shift.

    One shift for all serves unless a row or column lies so far below the largest logit that its sum would lose digits;
    float64 has room for every cosine at any temperature, so that is then taken for the tiles.
    """
    largest = (scaled_BD.norm(dim=1).max() * text_BD.norm(dim=1).max()).item()
    for dtype in dict.fromkeys((scaled_BD.dtype, torch.float64)):
        shift = max(0.0, largest - _ROOM[dtype]) if math.isfinite(largest) else 0.0
        row_B, column_B = (scaled_BD.new_zeros(len(scaled_BD), dtype=dtype) for _ in range(2))
        for rows, columns, tile_RC in _tiles(scaled_BD, text_BD, shift, dtype):
            row_B[rows] += tile_RC.sum(1)
            column_B[columns] += tile_RC.sum(0)
        least = len(scaled_BD) * torch.finfo(dtype).tiny / torch.finfo(dtype).eps
        if not (row_B.min() < least or column_B.min() < least) or not math.isfinite(largest):  # what is NaN stays so
            return row_B, column_B, shift
    raise ValueError(f"logits reach {largest:.0f}: features must be of unit length and the scale at most ln(345)")


def _tiles(
    scaled_BD: Tensor, text_BD: Tensor, shift: float, dtype: torch.dtype
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows, columns and e^(logit - shift) of each tile in turn; the tile is overwritten by the next one."""
    size = len(scaled_BD)
    memory = torch.empty(TILE * TILE, dtype=scaled_BD.dtype, device=scaled_BD.device)
    for top in range(0, size, TILE):
        rows = slice(top, min(top + TILE, size))
        for left in range(0, size, TILE):
            columns = slice(left, min(left + TILE, size))
            tile_RC = memory[: (rows.stop - top) * (columns.stop - left)].view(rows.stop - top, -1)
            torch.mm(scaled_BD[rows], text_BD[columns].T, out=tile_RC)
            tile_RC = tile_RC.to(dtype)
            if shift:
                tile_RC -= shift
            yield rows, columns, tile_RC.exp_()


def mutual_information_bound(loss: float, num_pairs: int) -> float:
    """ln(N) - loss, a lower bound in nats on the mutual information of the two sides (van den Oord et al. 2018).

    It holds for a batch of `num_pairs` pairs drawn independently with one positive each, and cannot exceed ln(N).
    """
    return math.log(num_pairs) - loss


class InfoNCE(nn.Module):
    """`info_nce` with its learnable scale, initialised at ln(1/0.07) and kept at most ln(100) by `clamp`."""

    def __init__(self, initial_scale: float = INITIAL_SCALE) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(initial_scale))

    def forward(self, image_BD: Tensor, text_BD: Tensor, pair_id: Tensor | None = None) -> Tensor:
        """-> scalar loss of the batch; see `info_nce`."""
        return info_nce(image_BD, text_BD, self.logit_scale, pair_id)

    @torch.no_grad()
    def clamp(self) -> None:
        """Keeps the scale within [0, ln(100)]; called after the optimiser's step."""
        self.logit_scale.clamp_(0.0, LARGEST_SCALE)
