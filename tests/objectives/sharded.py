"""One rank of `test_family.py`: every objective on this rank's share of the same 24 pairs, gradients added over ranks.

python sharded.py OUT, with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set
"""

import sys
from collections.abc import Iterator

import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

import amodal.objectives.tiles
from amodal.core.ranks import ProcessRanks, Ranks
from amodal.objectives import (
    Teacher,
    decoupled_info_nce,
    doubting_info_nce,
    info_nce,
    sigmoid_loss,
    soft_info_nce,
    triplet_loss,
)

PARTS = ("image", "text", "scale", "bias")


def losses(parts: list[Tensor], teacher: Teacher, share: Tensor, ids: Tensor | None, ranks: Ranks) -> Iterator:
    """Name and value of each objective."""
    image, text, scale, bias = parts
    yield "InfoNCE", info_nce(image, text, scale, ids, label_smoothing=0.1, ranks=ranks)
    yield "decoupled", decoupled_info_nce(image, text, scale, ids, ranks=ranks)
    yield "sigmoid", sigmoid_loss(image, text, scale, bias, ids, ranks=ranks)
    yield "soft", soft_info_nce(image, text, scale, teacher, ids, share=share, ranks=ranks)
    yield "doubting", doubting_info_nce(image, text, scale, ids, ranks=ranks)
    yield "triplet all", triplet_loss(image, text, ids, margin=0.4, negatives="all", ranks=ranks)
    yield "triplet semi-hard", triplet_loss(image, text, ids, margin=0.4, negatives="semi-hard", ranks=ranks)
    yield "triplet hardest", triplet_loss(image, text, ids, margin=0.4, ranks=ranks)


def main() -> None:
    """Writes values and whole gradients of all of them, on rank 0."""
    amodal.objectives.tiles.TILE = 5
    dist.init_process_group("gloo")
    ranks = ProcessRanks()
    draw = torch.Generator().manual_seed(3)
    whole = [F.normalize(torch.randn(24, 6, generator=draw), dim=1) for _ in range(4)]
    own = torch.arange(24).chunk(ranks.count)[ranks.rank]
    image, text, *said = (x[own] for x in whole)
    found = {}
    for kind, ids in (("own", None), ("shared", (torch.arange(24) * 7 % 9)[own])):
        parts = [x.requires_grad_() for x in (image, text, torch.tensor(2.0), torch.tensor(-3.0))]
        teacher = Teacher(said[0], said[1], torch.tensor(1.5))
        for name, value in losses(parts, teacher, torch.linspace(0, 1, 24)[own], ids, ranks):
            found[f"{name}, {kind}|loss"] = value.detach()
            grads = torch.autograd.grad(value, parts, allow_unused=True)
            for part, grad in zip(PARTS, grads, strict=True):
                if grad is not None:
                    found[f"{name}, {kind}|{part}"] = ranks.gather(grad) if grad.ndim else ranks.add(grad.clone())
    if ranks.rank == 0:
        save_file({key: value.contiguous() for key, value in found.items()}, sys.argv[1])
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
