"""Randomness that can be told again: every draw comes from a generator named by what it is for."""

import hashlib

import torch


def generator_for(seed: int, *names: int | str) -> torch.Generator:
    """A CPU generator whose stream depends only on `seed` and `names` (for example "order", epoch, step).

    The same call gives the same stream in any process and in any order of calls, so that a resumed run or a run with
    other worker counts draws what the uninterrupted one would have drawn.
    """
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
