"""One model on several ranks: replicated, every rank holding all of it (DDP, Li et al. 2020), or sharded, every rank
holding its part of weights, gradients and optimiser state (FSDP2; ZeRO, Rajbhandari et al. 2020)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from amodal.core.batch import Batch
from amodal.core.errors import AmodalError
from amodal.core.ranks import Ranks


def sharded(model: nn.Module) -> None:
    """Splits the parameters over all ranks, in place: each block of a tower by itself, the rest together.

    Build the optimiser afterwards. Blocks come together for their own forward and backward and part again.
    """
    model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]  # torch's stubs leave it out
    for part in model.modules():
        if isinstance(part, nn.ModuleList | nn.Sequential):
            for block in part:
                if len(list(block.children())) > 1 and not isinstance(block, FSDPModule):
                    fully_shard(block)
    fully_shard(model)
    for name in ("encode_image", "encode_text"):
        if hasattr(model, name):
            register_fsdp_forward_method(model, name)


def replicated(task: Any, model: nn.Module, batch: Batch, ranks: Ranks) -> nn.Module:
    """What steps are made with in place of `model`: gradients are exchanged while the backward still runs.

    batch: any one; parameters that it does not reach are looked for at every step.
    """
    if ranks.count == 1 or isinstance(model, FSDPModule):
        return model
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with buffers_kept(model):
        features = [x.sum() for x in task.encode(model, batch.rows(slice(2))) if x.requires_grad]
        reached = torch.autograd.grad(features, learned, allow_unused=True)
    unused = any(grad is None for grad in reached)
    return DistributedDataParallel(model, find_unused_parameters=unused)


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Running statistics come out as they went in."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        yield
    finally:
        for name, buffer in model.named_buffers():
            buffer.copy_(before[name])


@contextmanager
def statistics_undone(model: nn.Module) -> Iterator[None]:
    """Running statistics of batch norms come out as they went in when an AmodalError is raised inside."""
    norms = (part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training)
    before = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
    try:
        yield
    except AmodalError:
        for buffer, value in before:
            buffer.copy_(value)
        raise


def alone(model: nn.Module, last: bool) -> AbstractContextManager:
    """Inside, a backward exchanges no gradients unless it is the last of its step."""
    if last or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


def join_gradients(task: nn.Module, ranks: Ranks) -> None:
    """The gradients of what a task learns, which no wrapper exchanges: their mean over ranks, as of all others."""
    for parameter in task.parameters() if ranks.count > 1 else ():
        if parameter.grad is not None:
            parameter.grad = ranks.add(parameter.grad) / ranks.count


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which this rank may hold a part; every rank has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """What this rank holds of a tensor, without asking others."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, example: Tensor) -> Tensor:
    """This rank's part of a whole tensor, split as the example is."""
    if not isinstance(example, DTensor) or tensor.shape != example.shape:
        return tensor
    return distribute_tensor(tensor.to(example.device), example.device_mesh, example.placements)
