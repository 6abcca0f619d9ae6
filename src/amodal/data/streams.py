"""Batches straight from shards, for data that do not fit in memory. Which samples a step has depends on seed and step
alone: any number of ranks and workers reads the same batches, and a resumed run reads on where it stopped.

Shards come in a random order, a few at a time as one shuffled pack; samples are then read by number, so each rank
reads its share of every batch and nothing else. Epochs follow each other without a gap: the samples that an epoch
leaves over open the next batch, which the next epoch fills up, so none is dropped and none comes twice in an epoch.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from amodal.core.batch import Batch
from amodal.core.errors import DataError
from amodal.core.ranks import ALONE, Ranks
from amodal.core.seeds import generator_for
from amodal.data.batches import Captions, each_own, made_ahead, own_share
from amodal.data.pictures import BrokenPicture
from amodal.data.rows import Row, Skipped
from amodal.data.shard_index import Recent, Shards
from amodal.data.tokenizers import WordsToIds

MOST_DRAWN = 1000
"""Replacements that are drawn for one broken sample before the shards are given up."""


class EpochOrder:
    """Every sample of every shard once an epoch, in an order that depends on seed and epoch only.

    counts: samples of each shard. Shards are shuffled and taken `mixed` at a time; the samples of these are shuffled
    together. Memory grows with the number of shards and with the samples of one pack, not with all samples.
    """

    def __init__(self, counts: Sequence[int], *, mixed: int, seed: int) -> None:
        self._counts, self._mixed, self._seed = np.asarray(counts, np.int64), mixed, seed
        self._stops = np.cumsum(self._counts)
        self.total = int(self._stops[-1])
        self.num_packs = -(-len(counts) // mixed)
        self._epochs = Recent(self._epoch, 2)
        self._packs = Recent(self._pack, 2)

    def samples(self, first: int, last: int) -> np.ndarray:
        """Shard, and number in it, of the samples at places first, ..., last - 1 through all epochs. -> (N, 2)"""
        found = []
        while first < last:
            epoch, place = divmod(first, self.total)
            shards, ends = self._epochs[epoch]
            pack = int(np.searchsorted(ends, place, side="right"))
            order = self._packs[epoch * self.num_packs + pack]
            start = place - (ends[pack] - len(order))
            taken = order[start : start + last - first]
            chosen = shards[pack * self._mixed : (pack + 1) * self._mixed]
            stops = np.cumsum(self._counts[chosen])
            which = np.searchsorted(stops, taken, side="right")
            found.append(np.stack([chosen[which], taken - stops[which] + self._counts[chosen][which]], axis=1))
            first += len(taken)
        return np.concatenate(found)

    def anywhere(self, draw: torch.Generator) -> tuple[int, int]:
        """Shard and number of a sample drawn from all."""
        place = int(torch.randint(self.total, (), generator=draw))
        shard = int(np.searchsorted(self._stops, place, side="right"))
        return shard, place - int(self._stops[shard] - self._counts[shard])

    def _epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The shards in order, and the place where each pack of them ends."""
        shards = torch.randperm(len(self._counts), generator=generator_for(self._seed, "shards", epoch)).numpy()
        starts = np.arange(0, len(shards), self._mixed)
        return shards, np.cumsum(np.add.reduceat(self._counts[shards], starts))

    def _pack(self, number: int) -> np.ndarray:
        """The samples of a pack in order, numbered through its shards."""
        epoch, pack = divmod(number, self.num_packs)
        shards = self._epochs[epoch][0][pack * self._mixed : (pack + 1) * self._mixed]
        draw = generator_for(self._seed, "samples", epoch, pack)
        return torch.randperm(int(self._counts[shards].sum()), generator=draw).numpy()


class _Made(NamedTuple):
    """The batch of a step (None when no readable sample was found), and what was skipped on the way."""

    batch: Batch | None
    skipped: list[Skipped]


class ShardBatches(Dataset[_Made]):
    """Batches of pairs read from shards while training goes on; see the head of this file.

    prepare: a picture and a generator -> (3, H, W); at_least: see `decode_picture`; first_caption: only that of each
    sample; left_out: see `Captions`. A broken sample is noted in `shards.skipped` and its place filled by another drawn
    at random from all, the same one for the same seed and place; so batches are full. Pairs whose captions are the same
    are positives of each other. ranks: each reads its share. Memory: `workers` x 2 + 1 shares of a batch.
    Raises DataError for fewer than two samples, and for a batch that does not divide among the ranks.
    """

    def __init__(
        self,
        shards: Shards,
        prepare: Callable[[Image.Image, torch.Generator], Tensor],
        tokenizer: WordsToIds,
        *,
        batch_size: int,
        seed: int,
        at_least: int | None = None,
        first_caption: bool = False,
        left_out: float = 0.0,
        ranks: Ranks = ALONE,
    ) -> None:
        if len(shards) < 2:
            raise DataError(f"contrastive training needs at least two pairs; these shards hold {len(shards)}")
        self.shards, self._prepare, self._tokenizer, self._seed = shards, prepare, tokenizer, seed
        self._at_least, self._first_caption, self._left_out = at_least, first_caption, left_out
        self._order = EpochOrder(shards.counts, mixed=shards.mixed, seed=seed)
        self.batch_size = min(batch_size, len(shards))
        self.steps_per_epoch = len(shards) // self.batch_size
        self._own = own_share(self.batch_size, ranks)

    def steps(self, first: int, last: int, *, workers: int = 0) -> Iterator[Batch]:
        """The batches of steps first, ..., last - 1, made ahead by `workers` processes. Raises DataError when more is
        broken than the log allows."""
        log = self.shards.skipped
        for batch, skipped in made_ahead(self, first, last, workers):
            for entry in skipped:
                log.add(*entry)
            log.check()
            if batch is None:
                raise DataError(f"{MOST_DRAWN} samples in a row cannot be used, the last is {log.entries[-1]}")
            yield batch

    def __getitem__(self, step: int) -> _Made:
        """This rank's share of the batch of one step."""
        first, size, own = step * self.batch_size, self.batch_size, self._own
        skipped: list[Skipped] = []
        read: list[tuple[Row, Image.Image]] = []
        wanted = self._order.samples(first + own.start, first + own.stop).tolist()
        for place, (shard, number) in enumerate(wanted, start=first + own.start):
            sample = self._sample(place, shard, number, skipped)
            if sample is None:
                return _Made(None, skipped)
            read.append(sample)
        rows = [row for row, _ in read]
        said: list[tuple[str, ...]] = [()] * size
        said[own] = [row.captions[:1] if self._first_caption else row.captions for row in rows]
        # draws are named and made as in PairBatches: a row looks the same whatever part of the batch is wanted where
        views = each_own(list(range(size)), own, generator_for(self._seed, "draw", step, 0))
        pixels = [self._prepare(image, draw) for (_, image), (_, draw) in zip(read, views, strict=True)]
        texts = Captions(said, self._tokenizer, left_out=self._left_out)
        batch = Batch(
            pair_id=torch.tensor([_pair_number(row) for row in rows]),
            key=tuple(row.key for row in rows),
            pixels=torch.stack(pixels),
            **texts(list(range(size)), own, generator_for(self._seed, "draw", step, 1)),
        )
        return _Made(batch, skipped)

    def _sample(self, place: int, shard: int, number: int, skipped: list[Skipped]) -> tuple[Row, Image.Image] | None:
        """The sample and its decoded picture; when it is broken, another that is drawn by the place."""
        draw = generator_for(self._seed, "replacement", place)
        for _ in range(MOST_DRAWN):
            row = self.shards.row(shard, number)
            if isinstance(row, Row):
                try:
                    return row, row.picture.image(self._at_least)
                except BrokenPicture as error:
                    row = Skipped(row.key, str(error))
            skipped.append(row)
            shard, number = self._order.anywhere(draw)
        return None


def _pair_number(row: Row) -> int:
    """The row's pair, which is 64 bits of a hash of its captions, as an int64: the same in every process."""
    return int(row.pair, 16) - (1 << 63)
