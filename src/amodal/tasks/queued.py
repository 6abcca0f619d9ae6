"""Contrastive alignment with a momentum encoder and a queue of its features as further negatives (MoCo, He et al. 2020;
for both modalities as in ALBEF, Li et al. 2021): their number no longer depends on the batch.

B pairs · D width · Q length of the queue
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from amodal.core.batch import Batch, StepResult
from amodal.core.ranks import ALONE, Ranks
from amodal.models import DualEncoder, PairFeatures
from amodal.objectives import InfoNCE
from amodal.objectives.queue import key_info_nce
from amodal.tasks.contrastive import mixed


class QueuedFeatures(NamedTuple):
    """Both sides by the model, and the keys: by its momentum copy, without gradient. (B, D) each, of unit length."""

    image_BD: Tensor
    text_BD: Tensor
    image_key_BD: Tensor
    text_key_BD: Tensor


class Queued(nn.Module):
    """Each picture names its text among the keys of the batch and the last `queue` keys, and each text its picture.

    momentum: how slowly the copy follows the model, a step; ranks, precision: as in `Contrastive`; the queue holds the
    keys of all ranks.
    """

    image_QD: Tensor
    text_QD: Tensor
    id_Q: Tensor
    place: Tensor

    def __init__(
        self,
        model: DualEncoder,
        objective: InfoNCE,
        *,
        queue: int,
        width: int,
        momentum: float,
        ranks: Ranks = ALONE,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.objective, self.queue, self.momentum = objective, queue, momentum
        self.ranks, self.precision = ranks, precision
        device = objective.logit_scale.device
        for name in ("image_QD", "text_QD"):
            self.register_buffer(name, torch.zeros(queue, width, device=device))
        self.register_buffer("id_Q", torch.full((queue,), -1, device=device))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64, device=device))  # how many keys have come
        for name, value in _followed(model):
            self.register_buffer(_flat(name), value.detach().clone())
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []

    def encode(self, model: DualEncoder, batch: Batch) -> QueuedFeatures:
        """What `score` is computed from, row by row."""
        inner: Any = getattr(model, "module", model)  # without what exchanges gradients
        with mixed(batch, self.precision):
            with torch.no_grad():
                copy = {name: getattr(self, _flat(name)) for name, _ in _followed(inner)}
                keys: PairFeatures = functional_call(inner, copy, (batch,))
            own = model(batch)
        return QueuedFeatures(own.image_BD, own.text_BD, keys.image_BD, keys.text_BD)

    def score(self, features: QueuedFeatures, batch: Batch) -> StepResult:
        """The loss of encoded pairs; the keys join the queue after the step."""
        ranks, scale = self.ranks, self.objective.logit_scale
        fresh = [ranks.gather(x) for x in (features.image_key_BD, features.text_key_BD, batch.pair_id)]
        self._waiting.append((fresh[0].detach(), fresh[1].detach(), fresh[2]))
        known = min(int(self.place), self.queue)
        id_N = torch.cat([fresh[2], self.id_Q[:known]])
        image_ND, text_ND = (
            torch.cat([x.detach(), old[:known].to(x.dtype)])
            for x, old in zip(fresh, (self.image_QD, self.text_QD), strict=False)
        )
        to_text = key_info_nce(features.image_BD, text_ND, scale, batch.pair_id, id_N, ranks=ranks)
        to_image = key_info_nce(features.text_BD, image_ND, scale, batch.pair_id, id_N, ranks=ranks)
        loss = (to_text + to_image) / 2
        terms = {"loss": loss.item(), "logit_scale": scale.item(), "chance": math.log(len(id_N))}
        detached = {"image": features.image_BD.detach(), "text": features.text_BD.detach()}
        return StepResult(loss=loss, terms=terms, count=len(batch), features=detached)

    def step(self, model: DualEncoder, batch: Batch) -> StepResult:
        """The loss of one batch."""
        return self.score(self.encode(model, batch), batch)

    @torch.no_grad()
    def after_step(self, model: DualEncoder) -> None:
        """Moves the copy towards the model, puts the new keys over the oldest, and keeps the scale in its limits."""
        self.objective.clamp()
        for name, parameter in _learned(model):
            getattr(self, _flat(name)).lerp_(parameter, 1 - self.momentum)
        for image_BD, text_BD, id_B in self._waiting:
            at = (self.place + torch.arange(len(id_B), device=id_B.device))[-self.queue :] % self.queue
            for queue, keys in ((self.image_QD, image_BD), (self.text_QD, text_BD), (self.id_Q, id_B)):
                queue[at] = keys[-self.queue :].to(queue.dtype)
            self.place += len(id_B)
        self._waiting.clear()


def _learned(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _followed(model: nn.Module) -> list[tuple[str, Tensor]]:
    """What the copy has of its own: what is learned, and the statistics of batch norms."""
    norms = (x for x in model.named_modules() if isinstance(x[1], nn.modules.batchnorm._BatchNorm))
    statistics = ((f"{place}.{name}", x) for place, norm in norms for name, x in norm.named_buffers())
    return [*_learned(model), *statistics]


def _flat(name: str) -> str:
    return "copy/" + name.replace(".", "/")
