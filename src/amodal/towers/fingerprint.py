"""A short name for what a network computes: its kind and settings, its tensors and how its inputs are prepared."""

import hashlib

import torch
from torch import nn


def fingerprint(network: nn.Module, *details: object) -> str:
    """SHA-256 (hex) over the type, every tensor of the state and `details` (for example the preprocessing).

    `extra_repr` must tell what the tensors do not, such as the pooling: two poolings share every weight. Then two
    towers with the same fingerprint give the same features, and a cache keyed by it never mixes models.
    """
    digest = hashlib.sha256(repr((type(network).__name__, network.extra_repr(), details)).encode())
    for name, tensor in network.state_dict().items():
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(array.shape)}{array.dtype}".encode())
        digest.update(array.view(-1).view(torch.uint8).numpy() if array.numel() else b"")
    return digest.hexdigest()
