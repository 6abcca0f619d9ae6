"""Memory that was freed, given back to the system."""

import ctypes
import sys
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Returns what this process has freed and its allocator still holds; does nothing where the allocator has no way.

    glibc keeps the room of tensors that lay between others. Where sizes change from one piece of work to the next, as
    captions do, it hardly fits again, and a process grows far beyond what it uses at once.
    """
    _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    if not sys.platform.startswith("linux"):
        return lambda pad: None
    return getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: None)  # musl has none
