"""What tasks on fused models share: a loss of their own, and beside it that of where words are found."""

from typing import Any

import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, StepResult
from amodal.core.ranks import ALONE, Ranks
from amodal.models import Fused, FusedFeatures, Reader, ReadFeatures
from amodal.objectives import finding_losses
from amodal.tasks.contrastive import mixed

Features = FusedFeatures | ReadFeatures


class Grounded(nn.Module):
    """A fused model with the loss of a job, which a subclass gives, and that of where its words are found.

    grounding: what a unit of the second counts beside the first; 0: nothing. It is taken of a model that says where
    (`Reader`) on batches that know: batch.truth "covers" and "centres" (B, L, P), "linked" (B, L) bool; see
    `finding_losses`. precision: as in `Contrastive`.
    """

    def __init__(self, grounding: float = 1.0, *, ranks: Ranks = ALONE, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.grounding, self.ranks, self.precision = grounding, ranks, precision

    def own_loss(self, features: Features, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """The loss of the job, and terms for the log."""
        raise NotImplementedError

    def encode(self, model: Fused | Reader, batch: Batch) -> Features:
        """What `score` is computed from, row by row."""
        with mixed(batch, self.precision):
            return model(batch)

    def score(self, features: Features, batch: Batch) -> StepResult:
        """The loss of encoded rows."""
        loss, terms = self.own_loss(features, batch)
        if self.grounding > 0 and isinstance(features, ReadFeatures) and "covers" in batch.truth:
            where, told = _where(features, batch)
            loss, terms = loss + self.grounding * where, terms | told
        joint = {"joint": features.joint_BD.detach()}
        return StepResult(loss=loss, terms={"loss": loss.item(), **terms}, count=len(batch), features=joint)

    def step(self, model: Fused | Reader, batch: Batch) -> StepResult:
        """The loss of one batch."""
        return self.score(self.encode(model, batch), batch)

    def after_step(self, model: Any) -> None:
        """Nothing follows."""


def _where(features: ReadFeatures, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    mask = batch.text.mask if batch.text is not None else batch.ids_mask
    if mask is None:
        raise ValueError("a batch whose words are to be found has neither text nor ids_mask")
    losses = finding_losses(
        features.look_BLP,
        features.there_BLP,
        features.amount_BLP,
        features.means_BL,
        covers_BLP=batch.truth["covers"],
        centres_BLP=batch.truth["centres"],
        linked_BL=batch.truth["linked"],
        mask_BL=mask,
    )
    return losses.look + losses.there + losses.amount + losses.means, {
        name: loss.item() for name, loss in losses._asdict().items()
    }
