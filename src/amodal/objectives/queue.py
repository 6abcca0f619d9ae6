"""InfoNCE of queries against keys that carry no gradient: those of a momentum encoder and its queue (MoCo, He et al.
2020; both modalities as in ALBEF, Li et al. 2021).

B queries of this rank · N keys · D width · G groups of keys with one id
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from amodal.core.ranks import ALONE, Ranks
from amodal.objectives.infonce import exponentials, sums


def key_info_nce(
    query_BD: Tensor,
    key_ND: Tensor,
    logit_scale: Tensor,
    query_id: Tensor,
    key_id: Tensor,
    *,
    ranks: Ranks = ALONE,
) -> Tensor:
    """Asks each query (B, D) to name the keys of its id among all keys (N, D), one direction. -> scalar

    query_id: (B,), key_id: (N,): keys of the same id share the target evenly; each query has at least one. Unit length
    throughout; keys carry no gradient and are the same on every rank. The mean over queries of all ranks, gradients as
    in `info_nce`. Raises ValueError for a query without a key of its id.
    """
    group_N = key_id.unique(return_inverse=True)
    place_B = torch.searchsorted(group_N[0], query_id).clamp(max=len(group_N[0]) - 1)
    if (group_N[0][place_B] != query_id).any():
        raise ValueError("a query has no key of its own id; give each batch its own keys beside the queue")
    wide = torch.promote_types(query_BD.dtype, torch.float32)
    with torch.autocast(query_BD.device.type, enabled=False):
        loss: Any = _KeyInfoNCE.apply(
            query_BD.to(wide), key_ND.to(wide), logit_scale.to(wide), place_B, group_N[1], ranks
        )
    return loss


class _KeyInfoNCE(torch.autograd.Function):
    """The logarithm of row sums over tiles, less the logit of the mean positive."""

    @staticmethod
    def forward(
        ctx: Any,
        query_BD: Tensor,
        key_ND: Tensor,
        logit_scale: Tensor,
        place_B: Tensor,
        group_N: Tensor,
        ranks: Ranks,
    ) -> Tensor:
        """The loss of all ranks' queries."""
        count_G = group_N.bincount()
        right_GD = key_ND.new_zeros(len(count_G), key_ND.shape[1]).index_add_(0, group_N, key_ND)
        right_BD = (right_GD / count_G[:, None])[place_B]
        scaled_BD = query_BD * logit_scale.exp()
        row_B, _, shift = sums(scaled_BD, key_ND, ranks)
        own = row_B.log().sum() + shift * len(row_B) - (scaled_BD * right_BD).sum()
        size = ranks.count * len(query_BD)
        ctx.save_for_backward(scaled_BD, key_ND, logit_scale, row_B, right_BD)
        ctx.shift, ctx.size = shift, size
        return (ranks.add(own) / size).to(query_BD.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """This rank's share of the gradients by its queries and by the logarithm of the scale."""
        scaled_BD, key_ND, logit_scale, row_B, right_BD = ctx.saved_tensors
        grad_BD = -right_BD
        for rows, columns, tile_RC in exponentials(scaled_BD, key_ND, ctx.shift, row_B.dtype):
            tile_RC /= row_B[rows, None]
            grad_BD[rows].addmm_(tile_RC.to(scaled_BD.dtype), key_ND[columns])
        (given,) = grads
        grad_BD *= given / ctx.size
        return grad_BD * logit_scale.exp(), None, (grad_BD * scaled_BD).sum(), None, None, None
