"""open_clip's own training loop a step at a time, for the benchmarks beside this file."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import torch
from same_weights import peer_module
from torch import Tensor

RATE, DECAY, BETAS, EPS = 5e-4, 0.2, (0.9, 0.98), 1e-8
WARMUP, TOTAL = 100, 10_000
Step = Callable[[Tensor, Tensor], None]


def peer_step(peer: Any, losses: list[float]) -> Step:
    """One step of open_clip's own loop, with the optimiser and the schedule of its own program."""
    train_one_epoch = peer_module("open_clip_train.train").train_one_epoch
    peer.output_dict = True
    named = [(name, p) for name, p in peer.named_parameters() if p.requires_grad]
    plain = [p for name, p in named if p.ndim < 2 or any(part in name for part in ("bn", "ln", "bias", "logit_scale"))]
    rest = [p for _, p in named if not any(p is other for other in plain)]
    groups = [{"params": plain, "weight_decay": 0.0}, {"params": rest, "weight_decay": DECAY}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPS)
    schedule = peer_module("open_clip_train.scheduler").cosine_lr(optimizer, RATE, WARMUP, TOTAL)
    loss, done = peer_module("open_clip").ClipLoss(), []

    def told(**given: Any) -> dict[str, Tensor]:
        found = loss(**given)
        losses.append(found["contrastive_loss"].item())
        return found

    def step(pixels: Tensor, ids: Tensor) -> None:
        data = {"train": _OneBatch(pixels, ids)}
        train_one_epoch(peer, data, told, len(done), optimizer, None, schedule, None, _arguments(len(ids)))
        done.append(True)

    return step


class _OneBatch:
    """What open_clip's loop calls its data: an epoch of one batch."""

    num_batches = 1

    def __init__(self, pixels: Tensor, ids: Tensor) -> None:
        self.dataloader, self.num_samples, self._batch = self, len(ids), (pixels, ids)

    def set_epoch(self, epoch: int) -> None:
        """Nothing to shuffle."""

    def __iter__(self):
        yield self._batch


def _arguments(size: int) -> Namespace:
    """What open_clip's loop reads of its command line; logging is left to one line a step, which is not shown."""
    return Namespace(
        device="cpu",
        precision="fp32",
        distill=False,
        accum_freq=1,
        skip_scheduler=False,
        grad_clip_norm=None,
        horovod=False,
        log_every_n_steps=1,
        batch_size=size,
        world_size=1,
        rank=0,
        local_rank=0,
        log_local=False,
        wandb=False,
    )
