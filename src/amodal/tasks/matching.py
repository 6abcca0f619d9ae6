"""Which words fit a picture: true captions against false ones that differ in one thing."""

from torch import Tensor

from amodal.core.batch import Batch
from amodal.objectives import match_loss
from amodal.tasks.grounded import Features, Grounded


class Matching(Grounded):
    """Needs both modalities, pair_id (rows about one picture), and truth["fits"] (B,) bool."""

    def own_loss(self, features: Features, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """`match_loss`; as `right` how many rows are judged right."""
        fits = batch.truth["fits"]
        loss = match_loss(features.fit_B, fits, batch.pair_id)
        return loss, {"match": loss.item(), "right": ((features.fit_B > 0) == fits).float().mean().item()}
