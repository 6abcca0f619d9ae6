"""Samples a second from webdataset shards to batches for training: ours beside webdataset's own pipeline, as a ratio.

    python benchmarks/stream_shards.py [--shards 8] [--samples 500] [--pixels 256] [--size 224] [--batch 64]
                                       [--workers 0 1 2] [--repeats 3] [--json]

The shards are made first, in a temporary folder: pictures of smooth noise as JPEG of quality 85, a caption each. Both
sides shuffle, decode, take a random resized crop, normalise, cut captions into the same tokens and make batches; each
reads every sample once a repeat, and they take turns. Without workers the processor's time counts, which other work on
the machine hardly changes; with workers the clock counts, and the machine should be idle. Ours reads by number, mixes
over all samples of its open shards and has read the headers beforehand (timed apart); the peer reads each shard from
end to end, mixes over a buffer of 1,000, and decodes with PIL and torchvision's transforms.
"""

import argparse
import io
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from webdataset.compat import WebDataset
from webdataset.writer import TarWriter

from amodal.data.rows import SkipLog
from amodal.data.shard_index import Shards, open_shards
from amodal.data.streams import ShardBatches
from amodal.data.tokenizers import Tokenizer, train_bpe
from amodal.data.transforms import random_view, to_tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALLEST, BUFFER = 0.5, 1000
WORDS = ("a", "red", "green", "small", "old", "cat", "boat", "house", "tree", "on", "under", "the", "hill", "sea")


def make_shards(folder: Path, shards: int, samples: int, pixels: int) -> list[Path]:
    """Shards of random pictures and captions, the same every time."""
    draw = np.random.default_rng(0)
    paths = [folder / f"{number:05d}.tar" for number in range(shards)]
    for path in paths:
        with TarWriter(str(path)) as writer:
            for number in range(samples):
                coarse = Image.fromarray(draw.integers(0, 256, (24, 24, 3), dtype=np.uint8))
                image = np.asarray(coarse.resize((pixels, pixels), Image.Resampling.BICUBIC), np.int16)
                image = (image + draw.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8)
                stream = io.BytesIO()
                Image.fromarray(image).save(stream, "JPEG", quality=85)
                said = " ".join(draw.choice(WORDS, 10))
                writer.write({"__key__": f"{path.stem}{number:06d}", "jpg": stream.getvalue(), "txt": said})
    return paths


def our_view(image: Image.Image, draw: torch.Generator, *, size: int) -> Tensor:
    """As recipes have it."""
    return to_tensor(random_view(image, size, draw, smallest=SMALLEST), MEAN, STD)


def peer_sample(sample: tuple[bytes, bytes], *, chain: Callable[[Image.Image], Tensor]) -> tuple[Tensor, str]:
    """As tutorials of webdataset have it."""
    return chain(Image.open(io.BytesIO(sample[0])).convert("RGB")), sample[1].decode()


def peer_batch(samples: list[tuple[Tensor, str]], *, tokenizer: Tokenizer) -> tuple[Tensor, ...]:
    """Pixels, ids and mask of one batch."""
    return torch.stack([pixels for pixels, _ in samples]), *tokenizer([text for _, text in samples])


def peer_batches(paths: list[Path], tokenizer: Tokenizer, size: int, batch: int, workers: int) -> DataLoader:
    """webdataset's pipeline: shards split over workers, a shuffle buffer, batches made in the workers."""
    chain = transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(SMALLEST, 1), interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    pipeline: Any = (
        WebDataset([str(path) for path in paths], shardshuffle=len(paths), seed=0)
        .shuffle(BUFFER)
        .to_tuple("jpg", "txt")
        .map(partial(peer_sample, chain=chain))
        .batched(batch, collation_fn=partial(peer_batch, tokenizer=tokenizer))
    )
    context = "spawn" if workers else None
    return DataLoader(pipeline, batch_size=None, num_workers=workers, multiprocessing_context=context)


def alone(ours: Iterable[Any], peer: Iterable[Any], batch: int) -> dict[str, float]:
    """Samples a second of processor time, in this process; they take turns batch by batch."""
    turns = list(zip(_timed(ours), _timed(peer), strict=False))[1:]  # the first warms up
    return {
        name: batch * len(turns) / sum(taken)
        for name, taken in zip(("ours", "peer"), zip(*turns, strict=True), strict=True)
    }


def _timed(made: Iterable[Any]) -> Iterator[float]:
    """Seconds of processor time that each batch took."""
    started = time.process_time()
    for _ in made:
        yield time.process_time() - started
        started = time.process_time()


def with_workers(ways: dict[str, Callable[[], Iterable[Any]]], batch: int, repeats: int) -> dict[str, float]:
    """Samples a second of the clock, the best of some passes, without the start of the workers: for an idle machine."""
    best = dict.fromkeys(ways, 0.0)
    for _, (name, made) in itertools.product(range(repeats), ways.items()):
        numbered = iter(made())
        next(numbered)
        started, read = time.perf_counter(), sum(1 for _ in numbered)
        best[name] = max(best[name], batch * read / (time.perf_counter() - started))
    return best


def rates(shards: Shards, tokenizer: Tokenizer, size: int, batch: int, workers: int, repeats: int) -> dict[str, float]:
    """Samples a second of each, over whole passes."""
    batches = ShardBatches(shards, partial(our_view, size=size), tokenizer, batch_size=batch, seed=0, at_least=2 * size)
    steps = batches.steps_per_epoch
    peer = partial(peer_batches, list(shards.paths), tokenizer, size, batch, workers)
    if workers == 0:
        passes = itertools.chain.from_iterable(peer() for _ in range(repeats))
        found = alone(batches.steps(0, repeats * steps), passes, batch)
    else:
        ways = {"ours": lambda: batches.steps(0, steps, workers=workers), "peer": peer}
        found = with_workers(ways, batch, repeats)
    return {"workers": workers, **found, "ratio": found["ours"] / found["peer"]}


def main() -> None:
    """Prints a line for each number of workers, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--samples", type=int, default=500, help="of each shard")
    parser.add_argument("--pixels", type=int, default=256)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = make_shards(root, options.shards, options.samples, options.pixels)
        stored = sum(path.stat().st_size for path in paths) / (options.shards * options.samples)
        started = time.perf_counter()
        shards = open_shards(paths, folder=root / "indexes", skipped=SkipLog(), mixed=options.shards)
        indexed = len(shards) / (time.perf_counter() - started)
        kept = sum(path.stat().st_size for path in (root / "indexes").iterdir()) / len(shards)
        tokenizer = train_bpe(WORDS, vocabulary=300, context_length=32)
        found = [
            rates(shards, tokenizer, options.size, options.batch, workers, options.repeats)
            for workers in options.workers
        ]
    said = {"pixels": options.pixels, "bytes_a_pair": stored, "indexed_a_second": indexed, "index_bytes_a_pair": kept}
    if options.json:
        print(json.dumps({**said, "rates": found}, indent=2))
        return
    print(f"{stored:,.0f} bytes a pair   indexing {indexed:,.0f} samples/s, {kept:.0f} bytes a pair")
    for row in found:
        print(
            f"workers {row['workers']}   ours {row['ours']:6.0f} samples/s   webdataset {row['peer']:6.0f} samples/s   "
            f"ratio {row['ratio']:.2f}"
        )


if __name__ == "__main__":
    main()
