"""InfoNCE forward and backward, ours beside open_clip's ClipLoss: time in one process on the same tensors, taking
turns, as a ratio; and the memory that each takes beyond its inputs, in a fresh process each.

    pip install --group bench        # open_clip_torch
    python benchmarks/info_nce.py [--sizes 1024 8192 16384] [--width 512] [--repeats 5] [--json]

The scale is learnt on both sides; value and gradients are compared first. Above 20,000 pairs only ours is run.
"""

import argparse
import json
import math
import multiprocessing
import statistics
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from timing import memory, spent
from torch import Tensor

from amodal.objectives import info_nce

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
LARGEST_FOR_PEER = 20_000  # beyond it the peer's matrices take tens of gigabytes


def peer_loss() -> Loss | None:
    """open_clip's loss in our form (the logarithm of the scale), or None when it is not installed."""
    try:
        from open_clip.loss import ClipLoss  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    loss = ClipLoss()
    return lambda image, text, scale: loss(image, text, scale.exp())


def inputs(size: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Unit-length features (N, D) of both sides and the scale, all with gradients."""
    draw = torch.Generator().manual_seed(0)
    image, text = (F.normalize(torch.randn(size, width, generator=draw), dim=1).requires_grad_() for _ in range(2))
    return image, text, torch.tensor(math.log(1 / 0.07), requires_grad=True)


def job(loss: Loss, size: int, width: int) -> Callable[[], None]:
    """One forward and backward pass on inputs made beforehand."""
    given = inputs(size, width)
    return lambda: loss(*given).backward()


def check_equal(ours: Loss, peer: Loss, size: int, width: int) -> None:
    """Value and gradients agree, or the times say nothing."""
    results = []
    for loss in (ours, peer):
        given = inputs(size, width)
        value = loss(*given)
        value.backward()
        results.append([value.detach(), *(tensor.grad for tensor in given)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def extra_memory(whose: str, size: int, width: int) -> float:
    """Gigabytes at the peak of one forward and backward pass, beyond the inputs and their gradients."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grown, (whose, size, width))


def _grown(whose: str, size: int, width: int) -> float:
    loss = info_nce if whose == "ours" else peer_loss()
    assert loss is not None
    loss(*inputs(64, width)).backward()  # what is loaded at the first call does not count
    given = inputs(size, width)
    for tensor in given:
        tensor.grad = torch.zeros_like(tensor).add_(0)
    before = memory("VmHWM")
    loss(*given).backward()
    return memory("VmHWM") - before


def measure(peer: Loss | None, size: int, width: int, repeats: int) -> dict[str, float | int | None]:
    """Median milliseconds and gigabytes of each; ratio: peer's time / ours."""
    ways = {"ours": info_nce} | ({} if peer is None or size > LARGEST_FOR_PEER else {"peer": peer})
    if peer is not None and "peer" in ways:
        check_equal(info_nce, peer, size, width)
    times = spent({name: job(loss, size, width) for name, loss in ways.items()} for _ in range(repeats + 1))
    row: dict[str, float | int | None] = {"N": size, "peer_ms": None, "ratio": None}
    for name, seconds in times.items():
        row[f"{name}_ms"] = 1000 * statistics.median(seconds)
        row[f"{name}_gb"] = extra_memory(name, size, width)
    if "peer" in ways:
        row["ratio"] = statistics.median(b / a for a, b in zip(times["ours"], times["peer"], strict=True))
    return row


def main() -> None:
    """Prints one line a size, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 8192, 16384], help="pairs in a batch")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    peer = peer_loss()
    if peer is None:
        sys.stderr.write("open_clip is not installed, so only ours is timed; pip install --group bench\n")
    rows = []
    for size in options.sizes:
        rows.append(row := measure(peer, size, options.width, options.repeats))
        line = f"N {size:6,}  D {options.width}   ours {row['ours_ms']:9.1f} ms {row['ours_gb']:6.2f} GB"
        if row["ratio"] is not None:
            line += f"   open_clip {row['peer_ms']:9.1f} ms {row['peer_gb']:6.2f} GB   ratio {row['ratio']:.2f}"
        print(line, file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        print(json.dumps({"width": options.width, "threads": options.threads, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
