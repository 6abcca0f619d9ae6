"""Where tensors live, and how many threads compute them."""

import torch

from amodal.core.errors import UsageError


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
