"""InfoNCE over a batch of pairs (van den Oord et al. 2018), symmetric as in CLIP (Radford et al. 2021).

B pairs · D width
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INITIAL_SCALE = math.log(1 / 0.07)
LARGEST_SCALE = math.log(100.0)


def info_nce(image_BD: Tensor, text_BD: Tensor, logit_scale: Tensor, pair_id: Tensor | None = None) -> Tensor:
    """Pulls the two sides of a pair together and apart from every other pair of the batch. -> scalar

    image_BD, text_BD: (B, D) of unit length, row i of one belongs to row i of the other; logit_scale: scalar, the
    logarithm of the inverse temperature; pair_id: (B,) integers, rows with the same id are positives of each other and
    share the target evenly (Khosla et al. 2020, the sum outside the logarithm). The mean of both directions.

    With one positive a row the loss is at most ln(B) for features that carry nothing; prefer a triplet loss only when
    a margin is what you need.

    >>> x = F.normalize(torch.eye(4), dim=1)
    >>> round(info_nce(x, x, torch.tensor(0.0)).item(), 4)
    0.7437
    """
    if image_BD.shape != text_BD.shape:
        raise ValueError(f"image {tuple(image_BD.shape)} and text {tuple(text_BD.shape)} differ in shape")
    logits_BB = logit_scale.exp() * image_BD @ text_BD.T
    if pair_id is None:
        target = torch.arange(len(logits_BB), device=logits_BB.device)
        return (F.cross_entropy(logits_BB, target) + F.cross_entropy(logits_BB.T, target)) / 2
    match_BB = (pair_id[:, None] == pair_id[None, :]).to(logits_BB.dtype)
    target_BB = match_BB / match_BB.sum(dim=1, keepdim=True)  # symmetric, since the number of positives is shared
    return (F.cross_entropy(logits_BB, target_BB) + F.cross_entropy(logits_BB.T, target_BB)) / 2


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
