"""What tasks on fused models share: a loss of their own, and beside it those of three levels of alignment."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, StepResult
from amodal.core.ranks import ALONE, Ranks
from amodal.models import Fused, FusedFeatures, Reader, ReadFeatures
from amodal.objectives import InfoNCE, LateInteraction, finding_losses
from amodal.tasks.contrastive import mixed

Features = FusedFeatures | ReadFeatures


@dataclass(frozen=True)
class Levels:
    """What a unit of the loss of each level of alignment counts beside the job; 0: the level is not learnt.

    whole: pictures and true texts as one vector each (`InfoNCE`). region: words and places that find each other by
    which text is whose picture's (`LateInteraction`). pixel: where words are, by what is known of it
    (`finding_losses`).
    """

    whole: float = 0.0
    region: float = 0.0
    pixel: float = 1.0


class Grounded(nn.Module):
    """A fused model with the loss of a job, which a subclass gives, and those of the levels of alignment.

    Levels are learnt by a model that has them (`Reader`). Of batch.truth, "fits" (B,) bool says which texts are true
    (all, where it is not there), and for the pixel level "covers" and "centres" are (B, L, P), "linked" (B, L) bool;
    a batch without these has no such loss. precision: as in `Contrastive`.
    """

    def __init__(
        self, levels: Levels = Levels(), *, ranks: Ranks = ALONE, precision: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.levels, self.ranks, self.precision = levels, ranks, precision
        self.whole = InfoNCE() if levels.whole else None
        self.region = LateInteraction() if levels.region else None

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
        if isinstance(features, ReadFeatures):
            more, told = self._aligned(features, batch)
            loss, terms = loss + more, terms | told
        joint = {"joint": features.joint_BD.detach()}
        return StepResult(loss=loss, terms={"loss": loss.item(), **terms}, count=len(batch), features=joint)

    def step(self, model: Fused | Reader, batch: Batch) -> StepResult:
        """The loss of one batch."""
        return self.score(self.encode(model, batch), batch)

    def after_step(self, model: Any) -> None:
        """Keeps what the levels learn within its limits."""
        for level in (self.whole, self.region):
            if level is not None:
                level.clamp()

    def _aligned(self, features: ReadFeatures, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        none, terms = features.fit_B.new_zeros(()), {}
        loss, rows = none, torch.arange(len(batch), device=none.device)
        picture_B = rows if batch.picture is None else batch.picture
        true_T = rows[batch.truth["fits"]] if "fits" in batch.truth else rows
        shown_T = picture_B[true_T]  # none, when the last part of a batch is one false text
        if self.whole is not None:
            whole = self.whole(features.image_BD[true_T], features.text_BD[true_T], shown_T) if len(true_T) else none
            loss, terms["whole"] = loss + self.levels.whole * whole, whole.item()
        if self.region is not None:
            one_T = true_T[_firsts(shown_T)]
            weight_TL = features.means_BL[one_T].sigmoid() * _words(batch)[one_T]
            query_TLD, key_TPD = features.query_BLD[one_T], features.key_BPD[one_T]
            region = self.region(query_TLD, weight_TL, key_TPD) if len(one_T) else none
            loss, terms["region"] = loss + self.levels.region * region, region.item()
        if self.levels.pixel and "covers" in batch.truth:
            where, told = _where(features, batch)
            loss, terms = loss + self.levels.pixel * where, terms | told
        return loss, terms


def _firsts(x_T: Tensor) -> Tensor:
    """Where each value stands for the first time."""
    _, which_T = x_T.unique(return_inverse=True)
    earlier_TT = (which_T[:, None] == which_T).tril(-1)
    return (~earlier_TT.any(dim=1)).nonzero()[:, 0]


def _words(batch: Batch) -> Tensor:
    """(B, L) True where a word is real."""
    mask = batch.text.mask if batch.text is not None else batch.ids_mask
    if mask is None:
        raise ValueError("a batch whose words are to be aligned has neither text nor ids_mask")
    return mask


def _where(features: ReadFeatures, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    losses = finding_losses(
        features.look_BLP,
        features.there_BLP,
        features.amount_BLP,
        features.means_BL,
        covers_BLP=batch.truth["covers"],
        centres_BLP=batch.truth["centres"],
        linked_BL=batch.truth["linked"],
        mask_BL=_words(batch),
    )
    return losses.look + losses.there + losses.amount + losses.means, {
        name: loss.item() for name, loss in losses._asdict().items()
    }
