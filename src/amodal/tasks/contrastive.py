"""Contrastive alignment: a dual encoder and InfoNCE (Radford et al. 2021)."""

import torch
from torch import nn

from amodal.core.batch import Batch, StepResult
from amodal.models import DualEncoder
from amodal.objectives import InfoNCE, mutual_information_bound


class Contrastive(nn.Module):
    """Joins a dual encoder with InfoNCE. Needs pixels or cached image features, ids or cached text features, pair_id.

    heads: with an ensemble of K heads each is trained on its own part of the vectors, so that their errors differ;
    the loss is the mean over the heads.
    """

    def __init__(self, objective: InfoNCE | None = None, *, heads: int = 1) -> None:
        super().__init__()
        self.objective = objective or InfoNCE()
        self.heads = heads

    def step(self, model: DualEncoder, batch: Batch) -> StepResult:
        """Loss of one batch, with the bound on mutual information and the scale in force."""
        features = model(batch)
        scale = self.heads**0.5
        parts = zip(features.image_BD.chunk(self.heads, dim=1), features.text_BD.chunk(self.heads, dim=1), strict=True)
        losses = [self.objective(image * scale, text * scale, batch.pair_id) for image, text in parts]
        loss = torch.stack(losses).mean()
        value = loss.item()
        terms = {
            "loss": value,
            "bound": mutual_information_bound(value, len(batch)),
            "logit_scale": self.objective.logit_scale.item(),
        }
        detached = {"image": features.image_BD.detach(), "text": features.text_BD.detach()}
        return StepResult(loss=loss, terms=terms, count=len(batch), features=detached)

    def after_step(self, model: DualEncoder) -> None:
        """Keeps the scale within its limits."""
        self.objective.clamp()
