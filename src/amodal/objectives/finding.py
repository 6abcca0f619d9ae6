"""Where words are in a picture, taught by places whose truth is known.

B rows · L words · P places
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

THERE, AMOUNT, SUM = 4.0, 1.0, 0.3
"""Weights beside the loss of looking; most places are empty, so that their mean losses are small."""


class FindingLosses(NamedTuple):
    """Scalars: of what a word looks at, of where its things are seen, of how many there are, of whether a word means
    things."""

    look: Tensor
    there: Tensor
    amount: Tensor
    means: Tensor


def finding_losses(
    look_BLP: Tensor, there_BLP: Tensor, amount_BLP: Tensor, means_BL: Tensor, *,
    covers_BLP: Tensor, centres_BLP: Tensor, linked_BL: Tensor, mask_BL: Tensor,
) -> FindingLosses:  # fmt: skip
    """Pulls what words find towards where their things are. All but the last of linked words alone; zero without any.

    look: cross-entropy of the softmax over places to the covered shares (supervised attention, Liu et al. 2017), of
    words whose things are in the picture; there: log-loss of each place; amount: squared error of each place, and the
    smooth L1 of the sum (density maps, Lempitsky & Zisserman 2010); means: log-loss of each real word.
    covers_BLP: share of the place that the word's things cover; centres_BLP: how many of them have their centre there;
    linked_BL: words that mean things, be they none of this picture's; mask_BL: real words. When only captions are known
    there is nothing to supervise; see weak losses such as InfoNCE.
    """
    means = F.binary_cross_entropy_with_logits(means_BL[mask_BL], linked_BL[mask_BL].to(means_BL.dtype))
    look, there, amount = look_BLP[linked_BL], there_BLP[linked_BL], amount_BLP[linked_BL]
    covers, centres = covers_BLP[linked_BL], centres_BLP[linked_BL]
    if len(look) == 0:
        return FindingLosses(look_BLP.sum() * 0, there_BLP.sum() * 0, amount_BLP.sum() * 0, means)
    total = covers.sum(dim=1, keepdim=True)
    seen = total[:, 0] > 0
    missed = -(covers / total.clamp(min=1e-6) * look.log_softmax(dim=1)).sum(dim=1)
    number = F.smooth_l1_loss(amount.sum(dim=1), centres.sum(dim=1))
    return FindingLosses(
        (missed * seen).sum() / seen.sum().clamp(min=1),
        THERE * F.binary_cross_entropy_with_logits(there, covers),
        AMOUNT * (amount - centres).square().sum(dim=1).mean() + SUM * number,
        means,
    )
