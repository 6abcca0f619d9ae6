"""Whether words fit a picture: each pair by itself, and true words against false ones of the same picture.

B rows
"""

import torch.nn.functional as F
from torch import Tensor


def match_loss(fit_B: Tensor, fits_B: Tensor, pair_id: Tensor) -> Tensor:
    """Pulls the log-odds of true words up and of false ones down, those of one picture apart above all. -> scalar

    The mean over all (true, false) pairs of rows of one `pair_id` of the logistic loss of their difference (RankNet,
    Burges et al. 2005), and half the mean log-loss of all rows (image-text matching as in ViLBERT, Lu et al. 2019).
    fit_B: log-odds; fits_B: (B,) bool; pair_id: (B,) rows about one picture. A batch with no such pair has the second
    alone. When no hard negatives are known, InfoNCE over the batch is the better loss.
    """
    each = 0.5 * F.binary_cross_entropy_with_logits(fit_B, fits_B.to(fit_B.dtype))
    rival_BB = (pair_id[:, None] == pair_id[None]) & fits_B[:, None] & ~fits_B[None]
    if not rival_BB.any():
        return each
    true_B, false_B = rival_BB.nonzero(as_tuple=True)
    return each + F.softplus(fit_B[false_B] - fit_B[true_B]).mean()
