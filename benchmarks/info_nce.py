"""InfoNCE forward and backward, ours beside open_clip's ClipLoss, in one process on the same tensors, as a ratio.

    pip install --group bench        # open_clip_torch
    python benchmarks/info_nce.py [--sizes 1024 4096] [--width 512] [--repeats 20] [--json]

The scale is learnt on both sides; value and gradients are compared first.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from timing import spent
from torch import Tensor

from amodal.objectives import info_nce

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


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


def measure(ours: Loss, peer: Loss | None, size: int, width: int, repeats: int) -> dict[str, float | int | None]:
    """Median milliseconds of each, taken in turn so that a busy machine slows both; the ratio is peer / ours."""
    if peer is not None:
        check_equal(ours, peer, size, width)
    ways = {"ours": ours} | ({} if peer is None else {"peer": peer})
    times = spent({name: job(loss, size, width) for name, loss in ways.items()} for _ in range(repeats + 1))
    median = {name: 1000 * statistics.median(seconds) for name, seconds in times.items()}
    mine, theirs = median["ours"], median.get("peer")
    return {"N": size, "ours_ms": mine, "peer_ms": theirs, "ratio": None if theirs is None else theirs / mine}


def main() -> None:
    """Prints one line a size, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096], help="pairs in a batch")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    peer = peer_loss()
    if peer is None:
        sys.stderr.write("open_clip is not installed, so only ours is timed; pip install --group bench\n")
    rows = [measure(info_nce, peer, size, options.width, options.repeats) for size in options.sizes]
    if options.json:
        print(json.dumps({"width": options.width, "threads": options.threads, "rows": rows}, indent=2))
        return
    for row in rows:
        beside = "" if row["ratio"] is None else f"   open_clip {row['peer_ms']:8.1f} ms   ratio {row['ratio']:.2f}"
        print(f"N {row['N']:6,}  D {options.width}   ours {row['ours_ms']:8.1f} ms{beside}")


if __name__ == "__main__":
    main()
