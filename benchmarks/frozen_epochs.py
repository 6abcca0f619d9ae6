"""Seconds of an epoch after the first when both towers of CLIP's ViT-B/32 are frozen and the two projections learnt:
ours, which keeps what frozen towers said, beside open_clip's own loop with both towers locked, which runs them again.

    pip install --group bench        # open_clip_torch
    python benchmarks/frozen_epochs.py [--pictures 256] [--batch 32] [--epochs 50] [--peer-steps 2] [--json]

Same fresh weights, same projections and scale learnt on both sides, float32, bundled pictures at 224 px with their
names and keywords. Ours is `train` over cached features: its first epoch, with the features, is told beside the later
ones. open_clip's side is `train_one_epoch` with `lock_image_tower(unlocked_groups=1)` and
`lock_text_tower(unlocked_layers=1)`, its pictures decoded and its captions tokenised before the clock starts; only
`--peer-steps` steps of it are run, after one that warms up, and an epoch is reckoned from them. The loss of the first
step is compared.
"""

import argparse
import itertools
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from open_clip_loop import BETAS, DECAY, RATE, peer_step
from same_weights import captioned, clip_ids, cut, open_clip_model, our_model
from torch import Tensor

from amodal.data.batches import PairBatches
from amodal.data.rows import Row, SkipLog
from amodal.features import CachedImages, CachedTexts, Encoder, FeatureCache, prepare_view
from amodal.objectives import InfoNCE
from amodal.tasks import Contrastive
from amodal.training import Hooks, Settings, train

CPU = torch.device("cpu")


class ClipWords:
    """open_clip's tokenizer in the form of ours: cut to the longest of a call."""

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """-> ids and mask, (B, L) each"""
        return cut(clip_ids(texts))

    def fingerprint(self) -> str:
        """Of what decides the ids."""
        return "open_clip"


def our_epochs(peer: Any, rows: list[Row], captions: list[str], batch: int, epochs: int) -> dict[str, float]:
    """Seconds of the first epoch, with the features, and of a later one; the loss of the first step."""
    model, words = our_model(peer), cast(Any, ClipWords())
    model.image_tower.requires_grad_(False)
    model.text_tower.requires_grad_(False)
    task, ends, losses = Contrastive(InfoNCE(peer.logit_scale.item())), [time.perf_counter()], []
    with tempfile.TemporaryDirectory() as folder:
        encoder: Any = Encoder(model, words, FeatureCache(Path(folder) / "features"), CPU)
        images, texts = encoder.tower_images(rows, SkipLog()), encoder.tower_texts(captions)
        parts = [CachedImages(images[0]), CachedTexts(texts, [[number] for number in range(len(rows))])]
        keys = [row.key for row in rows]
        batches = PairBatches(keys, keys, parts, batch_size=batch, seed=0)
        hooks = Hooks(
            evaluate=lambda: {"validation/score": 0.0},
            record=lambda row: ends.append(time.perf_counter()),
            keep_best=lambda: None,
        )
        with torch.no_grad():
            losses.append(task.step(model, batches[0]).loss.item())
        train(task, model, batches, _settings(epochs), hooks, checkpoint=Path(folder) / "last", device=CPU)
    later = statistics.median(b - a for a, b in itertools.pairwise(ends[1:]))
    return {"first": ends[1] - ends[0], "later": later, "loss": losses[0]}


def _settings(epochs: int) -> Settings:
    return Settings(
        epochs=epochs,
        learning_rate=RATE,
        weight_decay=DECAY,
        betas=BETAS,
        warmup=1.0,
        clip=0.0,
        evaluate_every=epochs,
        patience=0,
        save_every=1e9,
        seed=0,
        workers=0,
    )


def peer_steps(peer: Any, rows: list[Row], captions: list[str], batch: int, steps: int) -> dict[str, float]:
    """Seconds of a step of open_clip's loop with locked towers, and the loss of the first; the batches are ours."""
    peer.lock_image_tower(unlocked_groups=1)
    peer.lock_text_tower(unlocked_layers=1)
    learnt = {name for name, p in peer.named_parameters() if p.requires_grad}
    assert learnt == {"visual.proj", "text_projection", "logit_scale"}, learnt
    losses: list[float] = []
    step, seconds = peer_step(peer.train(), losses), []
    ids, preprocessing = clip_ids(captions), our_model(peer).image_tower.preprocessing
    keys = [row.key for row in rows]
    batches = PairBatches(keys, keys, [lambda rows, own, draw: {"ids": torch.tensor(rows)}], batch_size=batch, seed=0)
    for given in batches.steps(0, steps + 1):
        assert given.ids is not None
        numbers = given.ids.tolist()
        pixels = torch.stack([prepare_view(rows[number].picture.image(), preprocessing, 0) for number in numbers])
        started = time.perf_counter()
        step(pixels, ids[numbers])
        seconds.append(time.perf_counter() - started)
    return {"step": statistics.median(seconds[1:]), "loss": losses[0]}


def main() -> None:
    """Prints one line a side, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=50, help="of ours")
    parser.add_argument("--peer-steps", type=int, default=2, help="timed steps of open_clip's loop")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.disable(logging.INFO)
    peer = open_clip_model()
    rows, captions = captioned(options.pictures)
    ours = our_epochs(peer, rows, captions, options.batch, options.epochs)
    theirs = peer_steps(peer, rows, captions, options.batch, options.peer_steps)
    epoch = theirs["step"] * (len(rows) // options.batch)
    found = {
        "pictures": len(rows),
        "batch": options.batch,
        "ours_first_epoch_s": ours["first"],
        "ours_later_epoch_s": ours["later"],
        "open_clip_step_s": theirs["step"],
        "open_clip_epoch_s": epoch,
        "ratio": epoch / ours["later"],
        "loss_difference": abs(ours["loss"] - theirs["loss"]),
    }
    if options.json:
        print(json.dumps({"threads": options.threads, **found}, indent=2))
        return
    print(f"{len(rows)} pictures in batches of {options.batch}; first losses differ by {found['loss_difference']:.1e}")
    print(f"ours       first epoch {ours['first']:7.2f} s with the features, a later one {1000 * ours['later']:.2f} ms")
    print(
        f"open_clip  every epoch {epoch:7.2f} s, reckoned from {options.peer_steps} steps of {theirs['step']:.2f} s   "
        f"ratio to a later one of ours {found['ratio']:,.0f}"
    )


if __name__ == "__main__":
    main()
