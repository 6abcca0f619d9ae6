"""Samples a second of a training step of CLIP's ViT-B/32, both towers trained, ours beside open_clip's own training
loop: the same fresh weights, the same batches, AdamW with the same rates, float32.

    pip install --group bench        # open_clip_torch
    python benchmarks/training_step.py [--steps 5] [--batch 32] [--threads 1] [--json]

Pictures are bundled ones at 224 px, captions their names with keywords in a template; both are tensors before the clock
starts. open_clip's side is `train_one_epoch` of its own program, one step at a time, with captions
padded to 77 as its tokenizer makes them; ours is the loop's step with the same captions cut to the longest of the
batch, as our tokenizer makes them. The losses of all steps are compared.
"""

import argparse
import json
import logging
import math
from typing import Any

import torch
from open_clip_loop import BETAS, DECAY, RATE, TOTAL, WARMUP, Step, peer_step
from same_weights import captioned, clip_ids, cut, open_clip_model, our_model
from timing import spent
from torch import Tensor

from amodal.core.batch import Batch
from amodal.data.transforms import fit_picture, to_tensor
from amodal.objectives import InfoNCE
from amodal.tasks import Contrastive
from amodal.training import build_optimizer, plain, warmup_cosine
from amodal.training.loop import clip_gradients

MEAN, STD = (0.481, 0.458, 0.408), (0.269, 0.261, 0.276)


def batches(count: int, size: int) -> list[tuple[Tensor, Tensor]]:
    """Pixels (B, 3, 224, 224) and ids (B, 77), different ones for each step."""
    rows, captions = captioned(count * size)
    pixels = torch.stack([to_tensor(fit_picture(row.picture.image(), 224, "crop"), MEAN, STD) for row in rows])
    return list(zip(pixels.split(size), clip_ids(captions).split(size), strict=True))


def our_step(peer: Any, losses: list[float]) -> Step:
    """The step of our loop."""
    model, task = our_model(peer).train(), Contrastive(InfoNCE(peer.logit_scale.item()))
    optimizer = build_optimizer([model, task], learning_rate=RATE, weight_decay=DECAY, betas=BETAS)
    schedule = warmup_cosine(optimizer, warmup=WARMUP, steps=TOTAL)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def step(pixels: Tensor, ids: Tensor) -> None:
        short, mask = cut(ids)
        keys = tuple(map(str, range(len(ids))))
        batch = Batch(pair_id=torch.arange(len(ids)), key=keys, pixels=pixels, ids=short, ids_mask=mask)
        result = plain(task, model, batch)
        norm = clip_gradients(parameters, 0.0)  # open_clip does not clip unless it is asked to
        assert math.isfinite(norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        task.after_step(model)
        losses.append(result.terms["loss"])

    return step


def measure(steps: int, size: int) -> dict[str, Any]:
    """Samples a second of each, the ratio, and both sides' losses of every step."""
    peer = open_clip_model().train()
    losses: dict[str, list[float]] = {"ours": [], "open_clip": []}
    ways = {"ours": our_step(peer, losses["ours"]), "open_clip": peer_step(peer, losses["open_clip"])}
    logging.disable(logging.INFO)
    jobs = (
        {name: lambda step=step, batch=batch: step(*batch) for name, step in ways.items()}
        for batch in batches(steps + 1, size)
    )
    times = spent(jobs)
    taken = {name: sum(seconds) for name, seconds in times.items()}
    pairs = zip(losses["ours"], losses["open_clip"], strict=True)
    return {
        "batch": size,
        **{f"{name}_samples_s": steps * size / seconds for name, seconds in taken.items()},
        "ratio": taken["open_clip"] / taken["ours"],
        "losses": losses,
        "difference": max(abs(one - other) for one, other in pairs),
    }


def main() -> None:
    """Prints the losses and one line of rates, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after one that warms up")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = measure(options.steps, options.batch)
    if options.json:
        print(json.dumps({"threads": options.threads, **found}, indent=2))
        return
    for name, losses in found["losses"].items():
        print(f"{name:10s} losses " + " ".join(f"{loss:.5f}" for loss in losses))
    print(
        f"batch {options.batch}   ours {found['ours_samples_s']:.2f} samples/s   open_clip "
        f"{found['open_clip_samples_s']:.2f} samples/s   ratio {found['ratio']:.2f}   losses differ by at most "
        f"{found['difference']:.1e}"
    )


if __name__ == "__main__":
    main()
