"""The processes that train together: which of how many this one is, and the few things they do as one.

R ranks · B rows of one rank · N = R B rows of all
"""

import torch
import torch.distributed as dist
from torch import Tensor


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

    def largest(self, x: Tensor) -> Tensor:
        """The maximum over ranks, made in `x`; not differentiable."""
        return x

    def wait(self) -> None:
        """Until every rank is here."""


class ProcessRanks(Ranks):
    """The ranks of torch.distributed's default process group, which has been initialised."""

    def __init__(self) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()

    def gather(self, x: Tensor) -> Tensor:
        return _Gather.apply(x.contiguous())  # pyright: ignore[reportReturnType]  # torch types apply as Any | None

    def add(self, x: Tensor) -> Tensor:
        dist.all_reduce(x)
        return x

    def largest(self, x: Tensor) -> Tensor:
        dist.all_reduce(x, dist.ReduceOp.MAX)
        return x

    def wait(self) -> None:
        dist.barrier()


ALONE = Ranks()


class _Gather(torch.autograd.Function):
    """all_gather forward, reduce_scatter backward: a row's gradient is what every rank made of it."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        """(B, ...) -> (N, ...)."""
        everyone = x.new_empty(dist.get_world_size() * len(x), *x.shape[1:])
        dist.all_gather_into_tensor(everyone, x)
        return everyone

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        """(N, ...) of every rank -> their sum, this rank's rows of it."""
        (given,) = grads
        own = given.new_empty(len(given) // dist.get_world_size(), *given.shape[1:])
        dist.reduce_scatter_tensor(own, given.contiguous())
        return own
