"""InfoNCE that doubts unlikely pairs, for data of which a part is wrong: the generalised cross-entropy (Zhang & Sabuncu
2018) of naming the partner.

B rows of this rank · N columns of all ranks · D width · G groups of positives · R C rows and columns of a tile
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from amodal.core.ranks import ALONE, Ranks
from amodal.objectives.infonce import INITIAL_SCALE, InfoNCE, exponentials, sums
from amodal.objectives.tiles import Positives, arrange


def doubting_info_nce(
    image_BD: Tensor,
    text_BD: Tensor,
    logit_scale: Tensor,
    pair_id: Tensor | None = None,
    *,
    doubt: float = 0.5,
    ranks: Ranks = ALONE,
) -> Tensor:
    """The mean of (1 - p^doubt) / doubt, p being the probability that a picture or text gives its partner. -> scalar

    Its gradient is InfoNCE's with each direction of each pair weighted by p^doubt, so that wrong pairs, which stay
    unlikely, are learnt by heart late or never. doubt: 0 is `info_nce` but for a constant where positives are shared, 1
    counts wrong answers and learns slowly; the study `noise` tries it. Several positives share p evenly. The other
    arguments, and errors, as in `info_nce`. The largest loss is 1 / doubt.
    """
    pairs = arrange(image_BD, text_BD, pair_id, ranks)
    with torch.autocast(image_BD.device.type, enabled=False):
        scale = logit_scale.to(pairs.image_BD.dtype)
        known: Any = _LogProbabilities.apply(*pairs[:2], scale, *pairs[2:], ranks)
        rows_B, columns_N = (-x if doubt == 0 else -torch.expm1(doubt * x) / doubt for x in known)
    return (ranks.total(rows_B.sum()) + columns_N.sum()) / (2 * len(columns_N))


class _LogProbabilities(torch.autograd.Function):
    """ln p of each row (B,) and of each column (N,) of all ranks: the mean logit of its positives, less the logarithm
    of its sum over all, plus that of their number. Tiles as in InfoNCE."""

    @staticmethod
    def forward(
        ctx: Any,
        image_BD: Tensor,
        text_ND: Tensor,
        logit_scale: Tensor,
        row_group_B: Tensor,
        column_group_N: Tensor,
        ranks: Ranks,
    ) -> tuple[Tensor, Tensor]:
        """Both, in the order of the pairs as they were arranged."""
        scaled_BD = image_BD * logit_scale.exp()
        row_B, column_N, shift = sums(scaled_BD, text_ND, ranks)
        count_G = column_group_N.bincount().to(text_ND.dtype)
        none_GD = text_ND.new_zeros(len(count_G), text_ND.shape[1])
        text_GD = none_GD.index_add(0, column_group_N, text_ND) / count_G[:, None]
        image_GD = ranks.add(none_GD.index_add(0, row_group_B, scaled_BD)) / count_G[:, None]
        sides = (
            (scaled_BD, text_GD, row_group_B, row_B),
            (text_ND, image_GD, column_group_N, column_N),
        )
        known = [
            ((own * mean_GD[group]).sum(1) - (total.log() + shift) + count_G[group].log()).clamp(max=0).to(own.dtype)
            for own, mean_GD, group, total in sides
        ]
        ctx.save_for_backward(scaled_BD, text_ND, logit_scale, row_group_B, count_G, row_B, column_N)
        ctx.positives, ctx.shift = Positives(row_group_B, column_group_N), shift
        return known[0], known[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """This rank's share of the gradients by its images, by all texts and by the logarithm of the scale."""
        scaled_BD, text_ND, logit_scale, row_group_B, count_G, row_B, column_N = ctx.saved_tensors
        given_B, given_N = grads
        by_row_B, by_column_N = given_B / row_B, given_N / column_N
        each_B = 1 / count_G[row_group_B]
        image_grad_BD, text_grad_ND = torch.zeros_like(scaled_BD), torch.zeros_like(text_ND)
        for rows, columns, tile_RC in exponentials(scaled_BD, text_ND, ctx.shift, row_B.dtype):
            tile_RC.mul_(-(by_row_B[rows, None] + by_column_N[None, columns]))
            if (positive_RC := ctx.positives.at(rows, columns)) is not None:
                tile_RC += positive_RC * ((given_B[rows, None] + given_N[None, columns]) * each_B[rows, None])
            part_RC = tile_RC.to(scaled_BD.dtype)
            image_grad_BD[rows].addmm_(part_RC, text_ND[columns])
            text_grad_ND[columns].addmm_(part_RC.T, scaled_BD[rows])
        scale_grad = (image_grad_BD * scaled_BD).sum()
        return image_grad_BD * logit_scale.exp(), text_grad_ND, scale_grad, None, None, None


class DoubtingInfoNCE(InfoNCE):
    """`doubting_info_nce` with a learnable scale, as in `InfoNCE`."""

    def __init__(self, doubt: float, initial_scale: float = INITIAL_SCALE, *, learned: bool = True) -> None:
        super().__init__(initial_scale, learned=learned)
        self.doubt = doubt

    def forward(
        self, image_BD: Tensor, text_BD: Tensor, pair_id: Tensor | None = None, *, ranks: Ranks = ALONE
    ) -> Tensor:
        """-> scalar loss of the batch; see `doubting_info_nce`."""
        return doubting_info_nce(image_BD, text_BD, self.logit_scale, pair_id, doubt=self.doubt, ranks=ranks)

    def terms(self, loss: float, pair_id: Tensor, *, ranks: Ranks = ALONE) -> dict[str, float]:
        """Nothing: its values lie so near 1 / doubt that none of them says that nothing is learnt."""
        return {}
