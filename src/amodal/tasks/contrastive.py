"""Contrastive alignment: a dual encoder and an objective on pairs, InfoNCE by default (Radford et al. 2021)."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from amodal.core.batch import Batch, StepResult
from amodal.core.ranks import ALONE, Ranks
from amodal.models import DualEncoder, PairFeatures
from amodal.objectives import InfoNCE


class Contrastive(nn.Module):
    """A dual encoder with an objective. Needs pixels or cached image features, ids or cached text features, pair_id.

    ranks: the processes whose batches are one batch; losses and terms are then those of all of them. precision: what
    the model computes in (torch.autocast), by default what it is stored in; the objective takes float32 at least.
    """

    def __init__(
        self,
        objective: nn.Module | None = None,
        *,
        ranks: Ranks = ALONE,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.objective: Any = objective or InfoNCE()
        self.ranks, self.precision = ranks, precision

    def encode(self, model: DualEncoder, batch: Batch) -> PairFeatures:
        """What `score` is computed from, row by row: with it a batch can be encoded in parts and scored as a whole."""
        with mixed(batch, self.precision):
            return model(batch)

    def score(self, features: PairFeatures, batch: Batch) -> StepResult:
        """The loss of encoded pairs with the scale in force, and what the objective says of it (its `terms`)."""
        loss = self.objective(features.image_BD, features.text_BD, batch.pair_id, ranks=self.ranks)
        value = loss.item()
        told = self.objective.terms(value, batch.pair_id, ranks=self.ranks)
        terms = {"loss": value, "logit_scale": self.objective.logit_scale.item(), **told}
        detached = {"image": features.image_BD.detach(), "text": features.text_BD.detach()}
        return StepResult(loss=loss, terms=terms, count=len(batch), features=detached)

    def step(self, model: DualEncoder, batch: Batch) -> StepResult:
        """The loss of one batch."""
        return self.score(self.encode(model, batch), batch)

    def after_step(self, model: DualEncoder) -> None:
        """Keeps what the objective learns within its limits."""
        self.objective.clamp()


def mixed(batch: Batch, precision: torch.dtype) -> AbstractContextManager:
    """Inside, a model computes in half precision where that is safe; nothing changes for float32."""
    return torch.autocast(batch.pair_id.device.type, precision, enabled=precision != torch.float32)
