"""Questions about a picture, answered by one of a list of answers (VQA as classification, Antol et al. 2015)."""

import torch.nn.functional as F
from torch import Tensor

from amodal.core.batch import Batch
from amodal.tasks.grounded import Features, Grounded


class Answering(Grounded):
    """Needs both modalities, and truth["answer"] (B,) int64: places in the model's list of answers."""

    def own_loss(self, features: Features, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy; as `right` the share that is answered right."""
        answer = batch.truth["answer"]
        loss = F.cross_entropy(features.answer_BA, answer)
        right = (features.answer_BA.argmax(dim=1) == answer).float().mean()
        return loss, {"answer": loss.item(), "right": right.item()}
