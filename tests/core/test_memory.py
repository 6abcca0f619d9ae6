"""Freed memory goes back to the system."""

import ctypes
import sys
from pathlib import Path

import pytest

from amodal.core.memory import _trim, give_back


def resident() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) // 1024


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="glibc alone keeps and gives back")
def test_what_lies_between_living_pieces_is_given_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    pieces = [libc.malloc(100_000) for _ in range(1000)]  # each small enough for the heap
    for piece in pieces:
        ctypes.memset(piece, 1, 100_000)
    for piece in pieces[:-1]:
        libc.free(piece)  # the last one, which lives, keeps the heap from shrinking
    held = resident()
    give_back()
    assert resident() < held - 80
    libc.free(pieces[-1])


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    _trim.cache_clear()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("there is no C library by that name there"))
    give_back()
    assert _trim()(0) is None
    _trim.cache_clear()
