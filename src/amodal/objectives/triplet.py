"""Triplet losses with negatives from the batch: all that violate the margin (Hermans et al. 2017), the semi-hard one
(Schroff et al. 2015), or the hardest (VSE++, Faghri et al. 2018).

B rows of this rank · N columns of all ranks · D width · R C rows and columns of a tile
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from amodal.core.ranks import ALONE, Ranks
from amodal.objectives.infonce import INITIAL_SCALE
from amodal.objectives.mined import Mined
from amodal.objectives.tiles import checked, tiles

Negatives = Literal["all", "semi-hard", "hardest"]


def triplet_loss(
    image_BD: Tensor,
    text_BD: Tensor,
    pair_id: Tensor | None = None,
    *,
    margin: float = 0.2,
    negatives: Negatives = "hardest",
    mined: Mined | None = None,
    ranks: Ranks = ALONE,
) -> Tensor:
    """Asks that a pair's cosine exceed that of a negative by `margin`: mean of [margin + negative - own]+. -> scalar

    image_BD, text_BD: (B, D) of unit length; pair_id: (B,), rows with the same id are never negatives; each side of
    each pair is an anchor once. "hardest": the most similar negative of the batch; "semi-hard": the most similar one
    that is less similar than the own partner, or the least similar where there is none; both are means over anchors.
    "all": every negative, the mean over those that violate the margin. mined: further negatives of each pair, to choose
    from beside those of the batch. ranks: as in `info_nce`. An anchor without negatives costs nothing. Memory grows
    with N D. The hardest negative learns fast from clean pairs and fails on noisy ones, where it is most often a wrong
    caption's right picture. Raises ValueError for sides of different shape, and for mined negatives with "all", without
    ids or on several ranks.

    >>> x = torch.eye(3)
    >>> triplet_loss(x, x, margin=1.5).item()
    0.5
    """
    if mined is not None and negatives == "all":
        raise ValueError("mined negatives are for the hardest or the semi-hard one, not for all")
    image_BD, text_BD = checked(image_BD, text_BD)
    size, mined_BK = len(image_BD), (None, None)
    if mined is not None:
        order_B, *mined_BK = mined.cosines(image_BD, text_BD, pair_id, ranks)
        assert pair_id is not None
        image_BD, text_BD, pair_id = (x[order_B] for x in (image_BD, text_BD, pair_id))
    ids_B = torch.arange(size, device=image_BD.device) + ranks.rank * size if pair_id is None else pair_id
    with torch.autocast(image_BD.device.type, enabled=False):
        own_B = (image_BD * text_BD).sum(1)
        image_ND, text_ND, ids_N = (ranks.gather(x) for x in (image_BD, text_BD, ids_B))
        if negatives == "all":
            loss: Any = _AllTriplets.apply(image_BD, text_ND, own_B, ranks.gather(own_B), ids_B, ids_N, margin, ranks)
            return loss
        total = own_B.new_zeros(())
        for anchor_BD, other_ND, further_BK in zip((image_BD, text_BD), (text_ND, image_ND), mined_BK, strict=True):
            least_B = own_B.detach() if negatives == "semi-hard" else None
            found_B = _negatives(anchor_BD.detach(), other_ND.detach(), ids_B, ids_N, least_B)
            there_B = found_B >= 0
            negative_B = (anchor_BD * other_ND[found_B.clamp(min=0)]).sum(1)
            if further_BK is not None:
                negative_B, there_B = _chosen(negative_B, there_B, further_BK, least_B)
            total = total + ((margin + negative_B - own_B).clamp(min=0) * there_B).sum()
    return ranks.total(total / (2 * len(ids_N)))


def _negatives(anchor_BD: Tensor, other_ND: Tensor, ids_B: Tensor, ids_N: Tensor, below_B: Tensor | None) -> Tensor:
    """Which of the others is the most similar negative of each anchor, below `below_B` where given. -> (B,), -1: none

    Where no negative lies below it, the least similar one of all.
    """
    best_B, worst_B = (anchor_BD.new_full((len(anchor_BD),), value) for value in (-math.inf, math.inf))
    best_at_B, worst_at_B = (torch.full_like(ids_B, -1) for _ in range(2))
    for rows, columns, tile_RC in tiles(anchor_BD, other_ND):
        same_RC = ids_B[rows, None] == ids_N[None, columns]
        if below_B is not None:
            low_R, at_R = tile_RC.masked_fill(same_RC, math.inf).min(1)
            better_R = low_R < worst_B[rows]
            worst_B[rows] = torch.where(better_R, low_R, worst_B[rows])
            worst_at_B[rows] = torch.where(better_R, at_R + columns.start, worst_at_B[rows])
            same_RC |= tile_RC >= below_B[rows, None]
        high_R, at_R = tile_RC.masked_fill_(same_RC, -math.inf).max(1)
        better_R = high_R > best_B[rows]
        best_B[rows] = torch.where(better_R, high_R, best_B[rows])
        best_at_B[rows] = torch.where(better_R, at_R + columns.start, best_at_B[rows])
    return torch.where(best_at_B >= 0, best_at_B, worst_at_B)


def _chosen(negative_B: Tensor, there_B: Tensor, mined_BK: Tensor, below_B: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of the batch's negative, where there is one, and the mined ones that which `_negatives` would have taken of all.

    mined_BK: cosines, -inf where there is none. -> its cosine (B,) and whether there is one
    """
    all_BK = torch.cat([negative_B.masked_fill(~there_B, -math.inf)[:, None], mined_BK], dim=1)
    seen_BK = all_BK.detach()
    at_B = seen_BK.argmax(1)
    if below_B is not None:
        low_BK = seen_BK.masked_fill(seen_BK >= below_B[:, None], -math.inf)
        least_B = seen_BK.masked_fill(seen_BK == -math.inf, math.inf).argmin(1)
        at_B = torch.where(low_BK.max(1)[0] > -math.inf, low_BK.argmax(1), least_B)
    there_B = (seen_BK > -math.inf).any(1)
    return all_BK.gather(1, at_B[:, None])[:, 0].masked_fill(~there_B, 0), there_B


class _AllTriplets(torch.autograd.Function):
    """The mean hinge of the triplets that violate the margin, by rows and by columns of every tile."""

    @staticmethod
    def forward(
        ctx: Any,
        image_BD: Tensor,
        text_ND: Tensor,
        own_B: Tensor,
        own_N: Tensor,
        ids_B: Tensor,
        ids_N: Tensor,
        margin: float,
        ranks: Ranks,
    ) -> Tensor:
        """The loss. The gradient by a cosine is how many of its two triplets are violated, over all that are."""
        total = image_BD.new_zeros(2, dtype=torch.float64)  # the hinges and how many there are
        image_grad_BD, text_grad_ND = torch.zeros_like(image_BD), torch.zeros_like(text_ND)
        by_row_B, by_column_N = torch.zeros_like(own_B), torch.zeros_like(own_N)
        for rows, columns, tile_RC in tiles(image_BD, text_ND):
            tile_RC += margin
            tile_RC.masked_fill_(ids_B[rows, None] == ids_N[None, columns], -math.inf)
            row_RC, column_RC = ((tile_RC - own).clamp_(min=0) for own in (own_B[rows, None], own_N[None, columns]))
            violated_RC = (row_RC > 0).to(tile_RC.dtype)
            by_row_B[rows] += violated_RC.sum(1)
            more_RC = (column_RC > 0).to(tile_RC.dtype)
            by_column_N[columns] += more_RC.sum(0)
            violated_RC += more_RC
            total += torch.stack([row_RC.sum() + column_RC.sum(), violated_RC.sum()])
            image_grad_BD[rows].addmm_(violated_RC, text_ND[columns])
            text_grad_ND[columns].addmm_(violated_RC.T, image_BD[rows])
        hinges, count = ranks.add(total)
        count = count.clamp(min=1).to(own_B.dtype)
        ctx.save_for_backward(*(x / count for x in (image_grad_BD, text_grad_ND, -by_row_B, -by_column_N)))
        return (hinges / count).to(own_B.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """This rank's share of the gradients by its images, all texts, and the cosines of own pairs, its and all."""
        (given,) = grads
        return *(x * given for x in ctx.saved_tensors), *[None] * 4


class TripletLoss(nn.Module):
    """`triplet_loss` in the form of the other objectives; it learns nothing.

    logit_scale is not part of the loss: it is what cosines are multiplied by where shares are shown.
    """

    logit_scale: Tensor

    def __init__(self, margin: float = 0.2, negatives: Negatives = "hardest") -> None:
        super().__init__()
        self.register_buffer("logit_scale", torch.tensor(INITIAL_SCALE), persistent=False)
        self.margin = margin
        self.negatives: Negatives = negatives

    def forward(
        self,
        image_BD: Tensor,
        text_BD: Tensor,
        pair_id: Tensor | None = None,
        *,
        mined: Mined | None = None,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        """-> scalar loss of the batch; see `triplet_loss`."""
        how: Any = {"margin": self.margin, "negatives": self.negatives}
        return triplet_loss(image_BD, text_BD, pair_id, **how, mined=mined, ranks=ranks)

    def terms(self, loss: float, pair_id: Tensor, *, ranks: Ranks = ALONE) -> dict[str, float]:
        """Nothing: hard negatives keep it near the margin while ranks get better."""
        return {}

    def clamp(self) -> None:
        """Nothing to keep within limits."""
