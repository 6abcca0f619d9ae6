"""Contrastive alignment with hard negatives that were mined from the whole training set (ANCE, Xiong et al. 2020).

N rows of the set · P candidates of each · R rows of a batch · B of them its own pairs · K negatives of each
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, StepResult
from amodal.data.mined import ANCHOR, IMAGES, TEXTS
from amodal.models import PairFeatures
from amodal.objectives import Mined
from amodal.tasks.contrastive import Contrastive


class MinedContrastive(Contrastive):
    """Every own pair of a batch meets the other pairs and the rows that were mined for it; see `MinedBatches`.

    objective: `InfoNCE` or `TripletLoss`. text_NP, image_NP: the candidates of every row of the training set, -1 where
    there is none; they are part of the state, so that a stopped run goes on with the same ones. One process only.
    """

    text_NP: Tensor
    image_NP: Tensor

    def __init__(self, objective: nn.Module, *, rows: int, pool: int, **how: Any) -> None:
        super().__init__(objective, **how)
        for name in ("text_NP", "image_NP"):
            self.register_buffer(name, torch.full((rows, pool), -1))

    def score(self, features: PairFeatures, batch: Batch) -> StepResult:
        """The loss of the batch's own pairs, and how many mined negatives one of their sides met in the mean."""
        own = int(batch.truth[ANCHOR].sum())
        ids = batch.pair_id[:own]
        text_BKD, text_id_BK = _taken(features.text_BD, batch, TEXTS, own)
        image_BKD, image_id_BK = _taken(features.image_BD, batch, IMAGES, own)
        mined = Mined(text_BKD, text_id_BK, image_BKD, image_id_BK)
        loss = self.objective(features.image_BD[:own], features.text_BD[:own], ids, mined=mined, ranks=self.ranks)
        met = torch.stack([(x >= 0) & (x != ids[:, None]) for x in (text_id_BK, image_id_BK)]).sum().item() / (2 * own)
        terms = {"loss": loss.item(), "logit_scale": self.objective.logit_scale.item(), "mined": met}
        if "chance" in self.objective.terms(terms["loss"], ids, ranks=self.ranks):
            terms["chance"] = math.log(own + met)
        detached = {"image": features.image_BD.detach(), "text": features.text_BD.detach()}
        return StepResult(loss=loss, terms=terms, count=own, features=detached)


def _taken(side_RD: Tensor, batch: Batch, name: str, own: int) -> tuple[Tensor, Tensor]:
    """The vectors (B, K, D) of the mined rows of this name, and their pair ids (B, K), -1 where there is none."""
    place_BK = batch.truth[name][:own]
    there_BK = place_BK.clamp(min=0)
    return side_RD[there_BK], batch.pair_id[there_BK].masked_fill(place_BK < 0, -1)
