"""Words and places aligned for their own sake: the levels of alignment and no job beside them."""

from torch import Tensor

from amodal.core.batch import Batch
from amodal.tasks.grounded import Features, Grounded


class Aligning(Grounded):
    """Needs both modalities, and of batch.truth what its levels need; see `Grounded`."""

    def own_loss(self, features: Features, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """None."""
        return features.fit_B.new_zeros(()), {}
