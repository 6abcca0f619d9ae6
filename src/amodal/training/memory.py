"""How many pairs of a batch fit in memory at once, measured on a few of them."""

import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from amodal.core.batch import Batch
from amodal.training.gradients import Accumulated, Cached, Gradients, Task, plain, refuse_batch_statistics
from amodal.training.parallel import buffers_kept

Way = Literal["auto", "plain", "accumulated", "cached"]
SHARE = 0.5  # of the free memory: what is counted leaves out the work space of single operations
_CGROUP = Path("/sys/fs/cgroup")


def choose_gradients(
    way: Way, rows: int, task: Task, model: nn.Module, batch: Batch, parameters: list[Tensor]
) -> tuple[Gradients, str]:
    """The way to get gradients of batches like this one, and a sentence that says why.

    auto: in one pass if the batch fits in memory, else cached in two. rows: most pairs of a part, 0 as many as fit.
    Raises RecipeError when parts are needed for a model whose rows depend on each other.
    """
    if way == "plain":
        return plain, f"gradients in one pass over {len(batch):,} pairs"
    needed = bytes_per_pair(task, model, batch)
    free = free_memory(batch.pair_id.device) - 3 * sum(p.numel() * p.element_size() for p in parameters)
    fitting = max(1, int(SHARE * free / max(needed, 1)))
    if task.ranks.count > 1:  # all take parts of the same size, or they would wait for each other
        fitting = -int(task.ranks.largest(torch.tensor(-fitting, device=batch.pair_id.device)))
    said = f"a pair needs {needed / 1e6:,.2f} MB while it is learnt from and {max(free, 0) / 1e9:,.1f} GB are free"
    if rows == 0 and (way == "auto" and fitting >= len(batch)):
        return plain, f"gradients in one pass over {len(batch):,} pairs: {said}"
    rows = min(rows or 1 << (fitting.bit_length() - 1), len(batch))
    parts = math.ceil(len(batch) / rows)
    rows = math.ceil(len(batch) / parts)  # parts of a size: a last one of one pair has no negative
    if way == "accumulated":
        return Accumulated(rows), f"gradients accumulated over parts of {rows:,} of {len(batch):,} pairs: {said}"
    refuse_batch_statistics(model)
    return Cached(rows), f"exact gradients in two passes over parts of {rows:,} of {len(batch):,} pairs: {said}"


def bytes_per_pair(task: Task, model: nn.Module, batch: Batch) -> int:
    """Bytes that one more pair of this batch keeps alive between forward and backward; the model is left as it was.

    What rows about one picture share may be left out.
    """
    few = min(4, len(batch) // 2)
    if few == 0:
        return _kept(task, model, batch)
    return (_kept(task, model, batch.rows(slice(2 * few))) - _kept(task, model, batch.rows(slice(few)))) // few


def free_memory(device: torch.device) -> int:
    """Bytes that this process may still take on `device`."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # macOS, Windows
        return 4 << 30
    try:  # a container's own limit
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            free = min(free, int(limit) - int((_CGROUP / "memory.current").read_text()))
    except OSError:
        pass
    return free


def _kept(task: Task, model: nn.Module, batch: Batch) -> int:
    """Bytes of everything that a forward saves for the backward, each storage once."""
    kept: dict[int, tuple[int, Tensor]] = {}  # the tensor is held, or its address would be given again

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = (storage.nbytes(), tensor.detach())
        return tensor

    devices = [batch.pair_id.device] if batch.pair_id.is_cuda else []
    with buffers_kept(model), torch.random.fork_rng(devices):
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            features: Any = task.encode(model, batch)
        del features
    return sum(size for size, _ in kept.values())
