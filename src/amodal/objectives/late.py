"""Words and places that find each other by whole sentences and pictures alone: late interaction.

T texts · S pictures · L words · P places · D width
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.objectives.infonce import INITIAL_SCALE, LARGEST_SCALE

SHARPNESS = 16.0


def late_scores(query_TLD: Tensor, weight_TL: Tensor, key_SPD: Tensor) -> Tensor:
    """How well each text fits each picture: the mean over words, by their weights, of how like its likest places are.
    -> (T, S), from -1 to 1

    After FILIP (Yao et al. 2022), with a smooth maximum, the mean of exp(16 cosine), in place of the highest cosine,
    so that all places of a thing are drawn to its word. query, key: of unit length; weight: 0 for words that mean
    nothing and for padding.
    """
    like_TLSP = torch.einsum("tld,spd->tlsp", query_TLD, key_SPD)
    highest_TLS = ((like_TLSP * SHARPNESS).logsumexp(dim=-1) - math.log(key_SPD.shape[1])) / SHARPNESS
    share_TL = weight_TL / weight_TL.sum(dim=1, keepdim=True).clamp(min=1e-6)
    return torch.einsum("tl,tls->ts", share_TL, highest_TLS)


def late_loss(score_TT: Tensor, logit_scale: Tensor) -> Tensor:
    """InfoNCE of `late_scores` of as many texts as pictures, each belonging to the one in its place. -> scalar

    Two texts that are true of one picture by chance count as wrong: keep batches small beside the number of pictures.
    """
    logits_TT, own_T = score_TT * logit_scale.exp(), torch.arange(len(score_TT), device=score_TT.device)
    return (F.cross_entropy(logits_TT, own_T) + F.cross_entropy(logits_TT.T, own_T)) / 2


class LateInteraction(nn.Module):
    """`late_loss` with its learnable scale, kept at most ln(100) by `clamp`."""

    def __init__(self) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(INITIAL_SCALE))

    def forward(self, query_TLD: Tensor, weight_TL: Tensor, key_TPD: Tensor) -> Tensor:
        """key: the places of the picture that each text belongs to. -> scalar"""
        return late_loss(late_scores(query_TLD, weight_TL, key_TPD), self.logit_scale)

    @torch.no_grad()
    def clamp(self) -> None:
        """Keeps the scale within [0, ln(100)]; called after the optimiser's step."""
        self.logit_scale.clamp_(0.0, LARGEST_SCALE)
