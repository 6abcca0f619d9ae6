"""The sigmoid loss of SigLIP (Zhai et al. 2023): every picture and text of a batch is one yes-or-no question.

B rows of this rank · N columns of all ranks · D width · R C rows and columns of a tile
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from amodal.core.ranks import ALONE, Ranks
from amodal.objectives.tiles import Positives, arrange, tiles

INITIAL_SCALE = math.log(10.0)
INITIAL_BIAS = -10.0


def sigmoid_loss(
    image_BD: Tensor,
    text_BD: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    pair_id: Tensor | None = None,
    *,
    ranks: Ranks = ALONE,
) -> Tensor:
    """Sum of -log sigmoid(z (scale cosine + bias)) over N; z is 1 for positives, -1 for the rest. -> scalar

    logit_bias: scalar, added to every logit; begin it near -10, since a batch holds far more negatives than positives.
    The other arguments as in `info_nce`, gradients under `ranks` too; every positive counts as one. It needs no sums
    over the batch, so small batches serve it better than InfoNCE; its value depends on N and has no meaning by itself.
    Raises ValueError for sides of different shape.

    >>> x = torch.eye(2)
    >>> round(sigmoid_loss(x, x, torch.tensor(0.0), torch.tensor(0.0)).item(), 4)
    1.0064
    """
    pairs = arrange(image_BD, text_BD, pair_id, ranks)
    with torch.autocast(image_BD.device.type, enabled=False):
        scale, bias = logit_scale.to(pairs.image_BD.dtype), logit_bias.to(pairs.image_BD.dtype)
        loss: Any = _TiledSigmoid.apply(*pairs[:2], scale, bias, *pairs[2:], ranks)
    return loss


class _TiledSigmoid(torch.autograd.Function):
    """The sum of softplus(-z logit); its gradient by the logit is sigmoid(logit) - [positive]."""

    @staticmethod
    def forward(
        ctx: Any,
        image_BD: Tensor,
        text_ND: Tensor,
        logit_scale: Tensor,
        logit_bias: Tensor,
        row_group_B: Tensor,
        column_group_N: Tensor,
        ranks: Ranks,
    ) -> Tensor:
        """The loss, summed in float64 over tiles."""
        scaled_BD = image_BD * logit_scale.exp()
        positives = Positives(row_group_B, column_group_N)
        total = scaled_BD.new_zeros((), dtype=torch.float64)
        for rows, columns, tile_RC in tiles(scaled_BD, text_ND):
            tile_RC += logit_bias
            if (positive_RC := positives.at(rows, columns)) is not None:
                tile_RC = torch.where(positive_RC, -tile_RC, tile_RC)
            total -= F.logsigmoid(tile_RC.neg_()).sum()
        ctx.save_for_backward(scaled_BD, text_ND, logit_scale, logit_bias)
        ctx.positives = positives
        return (ranks.add(total) / len(text_ND)).to(image_BD.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """This rank's share of the gradients by its images, by all texts, by the scale's logarithm and by the bias."""
        scaled_BD, text_ND, logit_scale, logit_bias = ctx.saved_tensors
        image_grad_BD, text_grad_ND = torch.zeros_like(scaled_BD), torch.zeros_like(text_ND)
        bias_grad = scaled_BD.new_zeros((), dtype=torch.float64)
        for rows, columns, tile_RC in tiles(scaled_BD, text_ND):
            tile_RC += logit_bias
            if (positive_RC := ctx.positives.at(rows, columns)) is None:
                tile_RC.sigmoid_()
            else:  # sigmoid(x) - 1 as -sigmoid(-x), which keeps its digits
                sign_RC = 1 - 2 * positive_RC.to(tile_RC.dtype)
                tile_RC.mul_(sign_RC).sigmoid_().mul_(sign_RC)
            image_grad_BD[rows].addmm_(tile_RC, text_ND[columns])
            text_grad_ND[columns].addmm_(tile_RC.T, scaled_BD[rows])
            bias_grad += tile_RC.sum()
        (given,) = grads
        share = given / len(text_ND)
        scale_grad = (image_grad_BD * scaled_BD).sum()
        image_grad_BD *= logit_scale.exp() * share
        return (
            image_grad_BD,
            text_grad_ND * share,
            scale_grad * share,
            (bias_grad * share).to(logit_bias.dtype),
            *[None] * 3,
        )


class SigmoidLoss(nn.Module):
    """`sigmoid_loss` with its learnable scale and bias, begun at ln(10) and -10; the scale is kept at least 0."""

    def __init__(self, initial_scale: float = INITIAL_SCALE, initial_bias: float = INITIAL_BIAS) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(initial_scale))
        self.logit_bias = nn.Parameter(torch.tensor(initial_bias))

    def forward(
        self, image_BD: Tensor, text_BD: Tensor, pair_id: Tensor | None = None, *, ranks: Ranks = ALONE
    ) -> Tensor:
        """-> scalar loss of the batch; see `sigmoid_loss`."""
        return sigmoid_loss(image_BD, text_BD, self.logit_scale, self.logit_bias, pair_id, ranks=ranks)

    def terms(self, loss: float, pair_id: Tensor, *, ranks: Ranks = ALONE) -> dict[str, float]:
        """Nothing: its value depends on the bias as much as on what the features carry."""
        return {}

    @torch.no_grad()
    def clamp(self) -> None:
        """Called after the optimiser's step."""
        self.logit_scale.clamp_(min=0.0)
