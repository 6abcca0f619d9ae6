"""Contrastive alignment: a dual encoder and InfoNCE (Radford et al. 2021)."""

from torch import nn

from amodal.core.batch import Batch, StepResult
from amodal.models import DualEncoder
from amodal.objectives import InfoNCE, mutual_information_bound


class Contrastive(nn.Module):
    """A dual encoder with InfoNCE. Needs pixels or cached image features, ids or cached text features, pair_id."""

    def __init__(self, objective: InfoNCE | None = None) -> None:
        super().__init__()
        self.objective = objective or InfoNCE()

    def step(self, model: DualEncoder, batch: Batch) -> StepResult:
        """Loss of one batch, with the bound on mutual information and the scale in force."""
        features = model(batch)
        loss = self.objective(features.image_BD, features.text_BD, batch.pair_id)
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
