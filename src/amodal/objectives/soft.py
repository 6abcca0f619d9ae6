"""InfoNCE towards soft targets: what a teacher says of the same pairs, in place of a part of what the pairing says.

B rows of this rank · N columns of all ranks · D width · E width of the teacher
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from amodal.core.ranks import ALONE, Ranks
from amodal.objectives.infonce import exponentials, info_nce, sums
from amodal.objectives.tiles import Pairs, Positives, arrange


class Teacher(NamedTuple):
    """What gives the soft targets: unit vectors image_BE and text_BE of the same pairs, and its logit scale."""

    image_BE: Tensor
    text_BE: Tensor
    logit_scale: Tensor


def soft_info_nce(
    image_BD: Tensor,
    text_BD: Tensor,
    logit_scale: Tensor,
    teacher: Teacher,
    pair_id: Tensor | None = None,
    *,
    share: float | Tensor = 0.4,
    ranks: Ranks = ALONE,
) -> Tensor:
    """InfoNCE of which this share of every target is the teacher's softmax over the batch, by rows and by columns.

    share: a number from 0 (`info_nce`) to 1 (the teacher alone), or (B,), one for each pair: large where a pair is not
    trusted. The other arguments as in `info_nce`, gradients under `ranks` too; none flow to the teacher. A momentum
    copy as teacher is ALBEF's loss for noisy pairs (Li et al. 2021), a larger model is distillation (Hinton et al.
    2015). The model itself as teacher would scale the gradient and change nothing else; see `doubting_info_nce`.
    -> scalar; the teacher's entropy is not taken off.
    Raises ValueError for shares outside 0 to 1 and as `info_nce` does.
    """
    pairs = arrange(image_BD, text_BD, pair_id, ranks)
    share_B = torch.as_tensor(share).to(pairs.image_BD).expand(len(image_BD))
    if not ((share_B >= 0) & (share_B <= 1)).all():
        raise ValueError("the share of the teacher lies between 0 and 1")
    with torch.no_grad():
        said_image_BE, said_text_BE = (x.to(pairs.image_BD.dtype) for x in teacher[:2])
        taught = arrange(said_image_BE, said_text_BE, pair_id, ranks)
        shares = arrange(share_B[:, None], share_B[:, None], pair_id, ranks)
    scale = logit_scale.to(pairs.image_BD.dtype)
    with torch.autocast(image_BD.device.type, enabled=False):
        moved: Any = _Moved.apply(*pairs[:2], scale, taught, teacher.logit_scale, shares, ranks)
    return info_nce(image_BD, text_BD, logit_scale, pair_id, ranks=ranks) + moved


class _Moved(torch.autograd.Function):
    """What moving a share of the targets adds to InfoNCE: sum over pairs of (even target - teacher's) logit, over N.

    It is linear in the logits, so the gradient is known with the value.
    """

    @staticmethod
    def forward(
        ctx: Any,
        image_BD: Tensor,
        text_ND: Tensor,
        logit_scale: Tensor,
        taught: Pairs,
        taught_scale: Tensor,
        shares: Pairs,
        ranks: Ranks,
    ) -> Tensor:
        """The difference; a tile of the teacher becomes the difference of both targets."""
        size = len(text_ND)
        share_B, share_N = shares.image_BD[:, 0] / 2 / size, shares.text_ND[:, 0] / 2 / size
        taught_BE = taught.image_BD * taught_scale.to(taught.image_BD.dtype).exp()
        row_B, column_N, shift = sums(taught_BE, taught.text_ND, ranks)
        positives = Positives(taught.row_group_B, taught.column_group_N)
        even_B = 1 / taught.column_group_N.bincount()[taught.row_group_B]
        by_row_B, by_column_N = share_B / row_B, share_N / column_N
        by_text_BD, by_image_ND = torch.zeros_like(image_BD), torch.zeros_like(text_ND)
        for rows, columns, tile_RC in exponentials(taught_BE, taught.text_ND, shift, row_B.dtype):
            tile_RC *= -(by_row_B[rows, None] + by_column_N[None, columns])
            if (positive_RC := positives.at(rows, columns)) is not None:
                tile_RC += positive_RC * ((share_B[rows, None] + share_N[None, columns]) * even_B[rows, None])
            part_RC = tile_RC.to(image_BD.dtype)
            by_text_BD[rows].addmm_(part_RC, text_ND[columns])
            by_image_ND[columns].addmm_(part_RC.T, image_BD[rows])
        own = (image_BD * by_text_BD).sum() * logit_scale.exp()
        ctx.save_for_backward(by_text_BD, by_image_ND, logit_scale, own)
        return ranks.add(own.clone())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """This rank's share of the gradients by its images, by all texts and by the logarithm of the scale."""
        by_text_BD, by_image_ND, logit_scale, own = ctx.saved_tensors
        (given,) = grads
        factor = logit_scale.exp() * given
        return by_text_BD * factor, by_image_ND * factor, own * given, *[None] * 4
