"""Where tensors live, and how many threads compute them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from amodal.core.errors import UsageError

Part = TypeVar("Part")
Done = TypeVar("Done")


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises UsageError when the named device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind = name.split(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        usable = ", ".join(found for found, is_there in there.items() if is_there)
        raise UsageError(f"device {name!r} is not available here; this machine has: {usable}")
    return torch.device(name)


def on_every_core(work: Callable[[Part], Done], parts: Iterable[Part], device: torch.device) -> Iterator[Done]:
    """`work` of each part, in order; on a CPU as many parts at once as PyTorch has threads, each on one of them.

    Layers of small batches are not worth sharing among cores, and threads that share a layer wait for each other when
    anything else runs. Parts are taken as they are needed, in the thread that calls. Until the last is done that one,
    and threads that start elsewhere, have one thread of PyTorch's, too.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield from map(work, parts)
        return
    waiting: deque[Future[Done]] = deque()
    try:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
    finally:
        torch.set_num_threads(threads)  # of some libraries it is the number of all threads
