"""InfoNCE over a batch of pairs (van den Oord et al. 2018), symmetric as in CLIP (Radford et al. 2021), plain or
decoupled. The matrix of all pairs is made a tile at a time, once for the sums and once more for the gradient, and never
kept.

B rows of this rank · N columns of all ranks · D width · R C rows and columns of a tile
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from amodal.core.ranks import ALONE, Ranks
from amodal.objectives.mined import Mined
from amodal.objectives.tiles import Positives, arrange, tiles

INITIAL_SCALE = math.log(1 / 0.07)
LARGEST_SCALE = math.log(100.0)
_ROOM = {torch.float32: 76.0, torch.float64: 690.0}  # e to this, times a batch, is still a number of that type


def info_nce(
    image_BD: Tensor,
    text_BD: Tensor,
    logit_scale: Tensor,
    pair_id: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
    mined: Mined | None = None,
    ranks: Ranks = ALONE,
) -> Tensor:
    """Pulls the two sides of a pair together and apart from every other pair of the batch. -> scalar

    image_BD, text_BD: (B, D) of unit length, row i of one belongs to row i of the other; logit_scale: scalar, the
    logarithm of the inverse temperature; pair_id: (B,) integers, rows with the same id are positives of each other and
    share the target evenly (Khosla et al. 2020, the sum outside the logarithm); label_smoothing: this share of every
    target is spread over the batch (Szegedy et al. 2016); mined: further negatives of each pair, which join its
    denominators alone; ranks: the processes whose batches are one batch: each gets the loss of all N pairs, and
    gradients whose sum over ranks is that of one process. The mean of both directions. Memory grows with N D; half
    precision is computed in float32. Raises ValueError for sides of different shape, for logits beyond 345, and for
    mined negatives without ids or on several ranks.

    With one positive a row the loss is at most ln(N) for features that carry nothing; prefer a triplet loss only when
    a margin is what you need.

    >>> x = torch.nn.functional.normalize(torch.eye(4), dim=1)
    >>> round(info_nce(x, x, torch.tensor(0.0)).item(), 4)
    0.7437
    """
    return _tiled(image_BD, text_BD, logit_scale, pair_id, ranks, label_smoothing, False, mined)


def decoupled_info_nce(
    image_BD: Tensor,
    text_BD: Tensor,
    logit_scale: Tensor,
    pair_id: Tensor | None = None,
    *,
    ranks: Ranks = ALONE,
) -> Tensor:
    """InfoNCE whose denominator holds the negatives only (DCL, Yeh et al. 2022). -> scalar, without a lower limit

    Arguments and errors as in `info_nce`; ValueError, too, when the batch has no negatives. A pair that is already
    close keeps its full gradient, which helps in batches of few pairs; in large ones the two are nearly the same.
    """
    return _tiled(image_BD, text_BD, logit_scale, pair_id, ranks, 0.0, True)


def _tiled(
    image_BD: Tensor,
    text_BD: Tensor,
    logit_scale: Tensor,
    pair_id: Tensor | None,
    ranks: Ranks,
    smoothing: float,
    decoupled: bool,
    mined: Mined | None = None,
) -> Tensor:
    further: tuple[Tensor | None, Tensor | None] = None, None
    if mined is not None:
        order_B, *cosines = mined.cosines(image_BD, text_BD, pair_id, ranks)
        assert pair_id is not None
        further = cosines[0], cosines[1]
        image_BD, text_BD, pair_id = (x[order_B] for x in (image_BD, text_BD, pair_id))
    pairs = arrange(image_BD, text_BD, pair_id, ranks)
    with torch.autocast(image_BD.device.type, enabled=False):
        scale = logit_scale.to(pairs.image_BD.dtype)
        loss: Any = _TiledInfoNCE.apply(*pairs[:2], scale, *pairs[2:], ranks, smoothing, decoupled, *further)
    return loss


class _TiledInfoNCE(torch.autograd.Function):
    """Equal groups are neighbours. e^(logit - shift) is summed over rows and columns in one pass, and the gradient by
    the logits is e^(logit - shift) (1 / row sum + 1 / column sum) - 2 target in the other."""

    @staticmethod
    def forward(
        ctx: Any,
        image_BD: Tensor,
        text_ND: Tensor,
        logit_scale: Tensor,
        row_group_B: Tensor,
        column_group_N: Tensor,
        ranks: Ranks,
        smoothing: float,
        decoupled: bool,
        further_text_BK: Tensor | None,
        further_image_BK: Tensor | None,
    ) -> Tensor:
        """The loss; positives and smoothing are sums of vectors, so only the normalisers need tiles.

        further: cosines of each image with negatives of its own, and of each text; -inf where there is none.
        """
        size, count_G = len(text_ND), column_group_N.bincount()
        if decoupled and len(count_G) < 2:
            raise ValueError("all pairs of the batch are positives of each other; a decoupled loss needs a negative")
        scaled_BD = image_BD * logit_scale.exp()
        positives = Positives(row_group_B, column_group_N)
        row_B, column_N, shift = sums(scaled_BD, text_ND, ranks, positives if decoupled else None)
        ctx.further = [
            None if cosine_BK is None else (cosine_BK.to(row_B.dtype) * logit_scale.exp() - shift).exp_()
            for cosine_BK in (further_text_BK, further_image_BK)
        ]
        for total_B, each_BK in zip((row_B, column_N), ctx.further, strict=True):
            total_B += 0 if each_BK is None else each_BK.sum(1)
        said_GD = text_ND.new_zeros(len(count_G), text_ND.shape[1]).index_add_(0, column_group_N, text_ND)
        said_GD /= count_G[:, None]
        own = torch.stack([
            row_B.log().sum(),
            (scaled_BD * said_GD[row_group_B]).sum().to(row_B.dtype),
            ((scaled_BD.sum(0) * text_ND.sum(0)).sum() / size).to(row_B.dtype),
        ])  # fmt: skip
        rows, right, spread = ranks.add(own)
        ctx.save_for_backward(scaled_BD, text_ND, logit_scale, row_group_B, column_group_N, count_G, row_B, column_N)
        ctx.positives, ctx.shift, ctx.smoothing, ctx.decoupled = positives, shift, smoothing, decoupled
        total = (rows + column_N.log().sum()) / 2 + size * shift
        return ((total - (1 - smoothing) * right - smoothing * spread) / size).to(image_BD.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """This rank's share of the gradients by its images, by all texts and by the logarithm of the scale."""
        scaled_BD, text_ND, logit_scale, row_group_B, _, count_G, row_B, column_N = ctx.saved_tensors
        size, smoothing = len(text_ND), ctx.smoothing
        by_row_B, by_column_N = (0.5 / size / total for total in (row_B, column_N))
        target_B = (1 - smoothing) / size / count_G[row_group_B].to(scaled_BD.dtype)
        image_grad_BD = scaled_BD.new_zeros(scaled_BD.shape) - smoothing / size**2 * text_ND.sum(0)
        text_grad_ND = text_ND.new_zeros(text_ND.shape) - smoothing / size**2 * scaled_BD.sum(0)
        weight = None
        for rows, columns, tile_RC in exponentials(scaled_BD, text_ND, ctx.shift, row_B.dtype):
            weight = tile_RC.new_empty(tile_RC.numel()) if weight is None else weight
            weight_RC = weight[: tile_RC.numel()].view_as(tile_RC)
            tile_RC.mul_(torch.add(by_row_B[rows, None], by_column_N[None, columns], out=weight_RC))
            if (positive_RC := ctx.positives.at(rows, columns)) is not None:
                if ctx.decoupled:
                    tile_RC.masked_fill_(positive_RC, 0)
                tile_RC -= positive_RC * target_B[rows, None]
            part_RC = tile_RC.to(scaled_BD.dtype)
            image_grad_BD[rows].addmm_(part_RC, text_ND[columns])
            text_grad_ND[columns].addmm_(part_RC.T, scaled_BD[rows])
        scale_grad = (image_grad_BD * scaled_BD).sum()  # the sum of gradient times logit, over the pairs of these rows
        (given,) = grads
        further = []
        for part_B, each_BK in zip((by_row_B, by_column_N), ctx.further, strict=True):
            if each_BK is None:
                further.append(None)
                continue
            weight_BK = each_BK * part_B[:, None]  # the gradient by the logits, nothing where the logit is -inf
            logit_BK = each_BK.log().add_(ctx.shift).masked_fill_(each_BK == 0, 0)
            scale_grad = scale_grad + (weight_BK * logit_BK).sum().to(scale_grad.dtype)
            further.append((weight_BK * logit_scale.exp()).to(scaled_BD.dtype) * given)
        image_grad_BD *= logit_scale.exp()
        return image_grad_BD * given, text_grad_ND * given, scale_grad * given, *[None] * 5, *further


def sums(
    scaled_BD: Tensor, text_ND: Tensor, ranks: Ranks, left_out: Positives | None = None
) -> tuple[Tensor, Tensor, float]:
    """The sums of e^(logit - shift) over rows (B,) and, of all ranks, over columns (N,), and the shift.

    One shift for all serves unless a row or column lies so far below the largest logit that its sum would lose digits;
    float64 has room for every cosine at any temperature, so that is then taken for the tiles. left_out: positives do
    not count. Raises ValueError for logits that no number holds.
    """
    largest = ranks.largest(scaled_BD.norm(dim=1).max() * text_ND.norm(dim=1).max()).item()
    for dtype in dict.fromkeys((scaled_BD.dtype, torch.float64)):
        shift = max(0.0, largest - _ROOM[dtype]) if math.isfinite(largest) else 0.0
        row_B, column_N = (scaled_BD.new_zeros(len(x), dtype=dtype) for x in (scaled_BD, text_ND))
        for rows, columns, tile_RC in exponentials(scaled_BD, text_ND, shift, dtype):
            if left_out is not None and (positive_RC := left_out.at(rows, columns)) is not None:
                tile_RC.masked_fill_(positive_RC, 0)
            row_B[rows] += tile_RC.sum(1)
            column_N[columns] += tile_RC.sum(0)
        column_N = ranks.add(column_N)
        least = len(text_ND) * torch.finfo(dtype).tiny / torch.finfo(dtype).eps
        too_small = ranks.largest(torch.maximum((row_B < least).any(), (column_N < least).any()).int())
        if not too_small or not math.isfinite(largest):  # what is NaN stays so
            return row_B, column_N, shift
    raise ValueError(f"logits reach {largest:.0f}: features must be of unit length and the scale at most ln(345)")


def exponentials(
    scaled_BD: Tensor, text_ND: Tensor, shift: float, dtype: torch.dtype
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows, columns and e^(logit - shift) of each tile in turn; the tile is overwritten by the next one."""
    for rows, columns, tile_RC in tiles(scaled_BD, text_ND):
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
    """`info_nce` with its learnable scale, initialised at ln(1/0.07) and kept at most ln(100) by `clamp`.

    decoupled: `decoupled_info_nce` in its place; learned: whether the scale is.
    """

    def __init__(
        self,
        initial_scale: float = INITIAL_SCALE,
        *,
        label_smoothing: float = 0.0,
        decoupled: bool = False,
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(initial_scale), requires_grad=learned)
        self.label_smoothing, self.decoupled = label_smoothing, decoupled

    def forward(
        self,
        image_BD: Tensor,
        text_BD: Tensor,
        pair_id: Tensor | None = None,
        *,
        mined: Mined | None = None,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        """-> scalar loss of the batch; see `info_nce`."""
        scale, smoothing = self.logit_scale, self.label_smoothing
        return _tiled(image_BD, text_BD, scale, pair_id, ranks, smoothing, self.decoupled, mined)

    def terms(self, loss: float, pair_id: Tensor, *, ranks: Ranks = ALONE) -> dict[str, float]:
        """What a loss means, by name: `chance`, which features that carry nothing cost, and `bound`, the
        `mutual_information_bound`, which the decoupled loss does not give. pair_id: (B,) of this rank."""
        if self.decoupled:
            _, group_N, count_G = ranks.gather(pair_id).unique(return_inverse=True, return_counts=True)
            return {"chance": (len(group_N) - count_G[group_N]).double().log().mean().item()}
        size = len(pair_id) * ranks.count
        return {"chance": math.log(size), "bound": mutual_information_bound(loss, size)}

    @torch.no_grad()
    def clamp(self) -> None:
        """Keeps a learned scale within [0, ln(100)]; called after the optimiser's step."""
        if self.logit_scale.requires_grad:
            self.logit_scale.clamp_(0.0, LARGEST_SCALE)
