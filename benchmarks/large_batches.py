"""Batches larger than memory: gradients in two passes over parts beside one pass, and one step over 32,768 pairs.

    python benchmarks/large_batches.py [--batch 4096] [--part 64] [--json]
    python benchmarks/large_batches.py --huge 32768 --pixels 32 [--json]

Peak memory is that of a fresh process each, beyond what it held before the first step, as Linux says it. `plain` trains
in batches of `--part` pairs, two steps on the one whose captions are longest (`plain_gb`) or on all batches of the same
pairs (`plain_all_gb`: captions of other lengths need other sizes, which the allocator of glibc does not always find
room for in what was freed). `cached` is the whole batch in parts of that size, after each of which freed memory goes
back to the system; its gradient is compared with that of one pass over the whole batch, where that fits. The
model is CLIP's architecture made small: a ViT of width 192 and 6 layers on pictures of 64 px (`--pixels`), our
Transformer of width 192 and 4 layers, float32; captions and pictures of the bundled set, every picture a random view
of its own.
"""

import argparse
import ctypes
import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timing import memory
from torch import Tensor

from amodal.core.batch import Batch
from amodal.data.batches import Captions, PairBatches, Pictures
from amodal.data.emoji import bundled_table
from amodal.data.tokenizers import train_bpe
from amodal.data.transforms import random_view, to_tensor
from amodal.models import DualEncoder, ProjectionHead
from amodal.tasks import Contrastive
from amodal.towers import TextTransformer, TimmTower
from amodal.training import Cached, build_optimizer, plain

WIDTH, WARM = 192, 8
HALF = (0.5, 0.5, 0.5)


def batch_of(count: int, pixels: int) -> Batch:
    """So many pairs of the bundled training pictures, each a random view with one of its captions; rows repeat when
    there are fewer pictures, as other views, and share their pair_id."""
    rows = bundled_table().split("train").rows
    captions = [row.captions for row in rows]
    tokenizer = train_bpe([text for texts in captions for text in texts], vocabulary=4096, context_length=48)
    again = [number % len(rows) for number in range(count)]
    pictures = Pictures(
        [rows[number] for number in again],
        lambda image, draw: to_tensor(random_view(image, pixels, draw, flip=False, jitter=0.2), HALF, HALF),
    )
    texts = Captions([captions[number] for number in again], tokenizer)
    keys, pairs = [f"{rows[n].key} view {view}" for view, n in enumerate(again)], [rows[n].pair for n in again]
    return PairBatches(keys, pairs, [pictures, texts], batch_size=count, seed=0)[0]


def model_of(pixels: int) -> DualEncoder:
    """The small CLIP, the same weights every time."""
    torch.manual_seed(0)
    options = {"img_size": pixels, "patch_size": 8, "embed_dim": WIDTH, "depth": 6, "num_heads": 6}
    image = TimmTower("vit_tiny_patch16_224", image_size=pixels, options=options)
    text = TextTransformer(vocabulary=4096, width=WIDTH, depth=4, heads=6, context_length=48)
    return DualEncoder(image, text, ProjectionHead(WIDTH, 256), ProjectionHead(WIDTH, 256)).train()


def gradient(way: Callable[..., Any], model: DualEncoder, task: Contrastive, batch: Batch) -> Tensor:
    """All gradients in one vector."""
    model.zero_grad()
    way(task, model, batch)
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def difference(batch_size: int, part: int, pixels: int) -> float:
    """Norm of the difference between cached and plain gradients over the norm of the plain."""
    model, task, batch = model_of(pixels), Contrastive(), batch_of(batch_size, pixels)
    whole = gradient(plain, model, task, batch)
    return ((gradient(Cached(part), model, task, batch) - whole).norm() / whole.norm()).item()


def peak(batch_size: int, part: int, pixels: int, way: str = "cached", steps: int = 2) -> tuple[float, float]:
    """Gigabytes at the peak of so many steps beyond what the process held before, model and batch, and seconds of the
    last. way: "cached"; "all", a pass over the pairs with a plain step each part; "longest", the widest part alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (batch_size, part, pixels, way, steps))


def _measured(batch_size: int, part: int, pixels: int, wanted: str, steps: int) -> tuple[float, float]:
    torch.set_num_threads(2)
    model, task = model_of(pixels), Contrastive()
    optimizer = build_optimizer([model, task], learning_rate=1e-4, weight_decay=0.1, betas=(0.9, 0.98))
    batch = batch_of(batch_size, pixels)
    gradient(plain, model, task, batch.rows(slice(WARM)))  # what is loaded at the first call does not count
    ctypes.CDLL(None).malloc_trim(0)  # nor what loading the pictures freed
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten: that of loading the pictures
    before, seconds = memory("VmRSS"), 0.0
    way, parts = (Cached(part), [batch]) if wanted == "cached" else (plain, list(batch.parts(part)))
    if wanted == "longest":
        parts = [max(parts, key=_longest)]
    for _ in range(steps):
        started = time.perf_counter()
        for each in parts:
            optimizer.zero_grad()
            way(task, model, each)
            optimizer.step()
        seconds = time.perf_counter() - started
    return memory("VmHWM") - before, seconds


def _longest(batch: Batch) -> tuple[int, int]:
    """Tokens of the longest caption, and of all."""
    assert batch.ids_mask is not None
    return int(batch.ids_mask.sum(dim=1).max()), int(batch.ids_mask.sum())


def compare(batch_size: int, part: int, pixels: int) -> dict[str, float | int]:
    """Peak memory of cached against plain with the same activations, and how far the gradients are apart."""
    plain_gb, _ = peak(batch_size, part, pixels, "longest")
    all_gb, _ = peak(batch_size, part, pixels, "all")
    cached_gb, seconds = peak(batch_size, part, pixels)
    return {
        "batch": batch_size,
        "part": part,
        "plain_gb": plain_gb,
        "plain_all_gb": all_gb,
        "cached_gb": cached_gb,
        "ratio": cached_gb / plain_gb,
        "ratio_all": cached_gb / all_gb,
        "seconds": seconds,
        "difference": difference(min(batch_size, 512), part, pixels),
    }


def main() -> None:
    """Prints a line, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--part", type=int, default=64)
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--huge", type=int, default=0, help="one step over so many pairs in place of the comparison")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.huge:
        gb, seconds = peak(options.huge, 256, options.pixels, steps=1)
        found = {"batch": options.huge, "part": 256, "cached_gb": gb, "seconds": seconds}
        line = (
            f"one step over {options.huge:,} pairs in parts of 256: {seconds:.0f} s, {gb:.2f} GB beyond model and batch"
        )
    else:
        found = compare(options.batch, options.part, options.pixels)
        line = (
            f"plain batches of {options.part}: longest {found['plain_gb']:.3f} GB, all {found['plain_all_gb']:.3f} GB"
            f"   two passes over {options.batch:,} pairs {found['cached_gb']:.3f} GB   ratio {found['ratio']:.2f} of "
            f"the longest, {found['ratio_all']:.2f} of all   gradients apart {found['difference']:.1e}"
        )
    print(json.dumps(found, indent=2) if options.json else line)


if __name__ == "__main__":
    main()
