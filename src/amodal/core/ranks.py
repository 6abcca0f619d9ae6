"""The processes that train together: which of how many this one is, and the few things they do as one.

R ranks · B rows of one rank · N = R B rows of all
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous


class Ranks:
    """One process alone: whatever is asked of all ranks is asked of it."""

    rank: int = 0
    count: int = 1

    def gather(self, x: Tensor) -> Tensor:
        """(B, ...) of every rank -> (N, ...) in order of rank; differentiable: gradients of all ranks are added."""
        return x

    def add(self, x: Tensor) -> Tensor:
        """The sum over ranks, made in `x`; not differentiable."""
        return x

    def total(self, x: Tensor) -> Tensor:
        """The sum over ranks, with the gradient of this rank's share alone."""
        return x + (self.add(x.detach().clone()) - x.detach())

    def largest(self, x: Tensor) -> Tensor:
        """The maximum over ranks, made in `x`; not differentiable."""
        return x

    def everyones(self, value: object) -> list[Any]:
        """What each rank gave, in order of rank; anything that can be pickled."""
        return [value]

    def wait(self) -> None:
        """Until every rank is here."""

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """Inside, rank 0 is alone and the others come after it: they find the files that it made."""
        if self.rank:
            self.wait()
        yield
        if not self.rank:
            self.wait()


class ProcessRanks(Ranks):
    """The ranks of torch.distributed's default process group, which has been initialised."""

    def __init__(self) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()

    def gather(self, x: Tensor) -> Tensor:
        everyone: Any = _Gather.apply(x.contiguous())
        return everyone

    def add(self, x: Tensor) -> Tensor:
        dist.all_reduce(x)
        return x

    def largest(self, x: Tensor) -> Tensor:
        dist.all_reduce(x, dist.ReduceOp.MAX)
        return x

    def everyones(self, value: object) -> list[Any]:
        given: list[Any] = [None] * self.count
        dist.all_gather_object(given, value)
        return given

    def wait(self) -> None:
        dist.barrier()


ALONE = Ranks()
PATIENCE = timedelta(hours=2)  # the longest that the others wait for a rank which computes features


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """The ranks that `torchrun` started, and this one's device; alone, without torchrun, `ALONE` and `device`.

    NCCL joins GPUs, each rank on its own; gloo joins everything else.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE, device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    store, rank, count = next(rendezvous("env://", timeout=PATIENCE))
    # torchrun keeps its store when it starts all processes again: those before left their addresses in it
    store = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    yield ProcessRanks(), device
    dist.destroy_process_group()  # not after an error: a rank that is gone would be waited for


def lost_a_rank(error: BaseException) -> bool:
    """Whether an error says that another rank went away."""
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection closed by peer" in str(error)


class _Gather(torch.autograd.Function):
    """all_gather forward, reduce_scatter backward: a row's gradient is what every rank made of it."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        """(B, ...) -> (N, ...)."""
        everyone = x.new_empty(dist.get_world_size(), *x.shape)
        dist.all_gather(list(everyone), x)
        return everyone.flatten(0, 1)

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        """(N, ...) of every rank -> their sum, this rank's rows of it."""
        (given,) = grads
        shares = list(given.contiguous().chunk(dist.get_world_size()))
        own = torch.empty_like(shares[0])
        dist.reduce_scatter(own, shares)
        return own
