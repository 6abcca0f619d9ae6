"""Rows to batches. Order and every random choice depend only on seed, epoch and step, so that any step of any epoch
can be told again: a resumed run sees what the uninterrupted one would have seen, with any number of workers."""

import math
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from amodal.core.batch import Batch
from amodal.core.errors import DataError
from amodal.core.ranks import ALONE, Ranks
from amodal.core.seeds import generator_for
from amodal.data.pictures import BrokenPicture
from amodal.data.rows import Row, SkipLog
from amodal.data.tokenizers import WordsToIds

Part = Callable[[list[int], slice, torch.Generator], Mapping[str, Any]]
"""Row numbers of a batch, which of them are wanted, and a generator -> the fields of `Batch` for one modality.

Draws are made for the whole batch, so that a row looks the same whatever part of it is wanted where.
"""

Made = TypeVar("Made")
MEMORY_FOR_PICTURES = 2 << 30


class Captions:
    """Each row's ids of one of its captions, drawn at random. -> ids and ids_mask (B, L)

    left_out: the largest share of a caption's words that `fewer_words` leaves out.
    """

    def __init__(self, captions: Sequence[Sequence[str]], tokenizer: WordsToIds, *, left_out: float = 0.0) -> None:
        self._captions, self._tokenizer, self._left_out = captions, tokenizer, left_out

    def __call__(self, rows: list[int], own: slice, draw: torch.Generator) -> Mapping[str, Any]:
        """The fields `ids` and `ids_mask` of the wanted rows."""
        ids, mask = self._tokenizer([self._text(row, draw) for row, draw in each_own(rows, own, draw)])
        return {"ids": ids, "ids_mask": mask}

    def _text(self, row: int, draw: torch.Generator) -> str:
        text = self._captions[row][draw_index(len(self._captions[row]), draw)]
        return fewer_words(text, self._left_out, draw) if self._left_out else text


class Pictures:
    """Each row's pixels after `prepare`, which may draw. -> pixels (B, 3, H, W)

    Decoded pictures stay in memory while they fit. A broken one raises; `keep_readable` drops them beforehand.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        prepare: Callable[[Image.Image, torch.Generator], Tensor],
        at_least: int | None = None,
    ) -> None:
        self._rows, self._prepare, self._at_least = rows, prepare, at_least
        self._decoded: dict[int, Image.Image] = {}
        self._room = MEMORY_FOR_PICTURES

    def __call__(self, rows: list[int], own: slice, draw: torch.Generator) -> Mapping[str, Any]:
        """The field `pixels` of the wanted rows."""
        pixels = [self._prepare(self.image(row), draw) for row, draw in each_own(rows, own, draw)]
        return {"pixels": torch.stack(pixels)}

    def __getstate__(self) -> dict[str, Any]:
        """For worker processes, without the decoded pictures: each decodes its own, or memory would hold all twice."""
        return {**vars(self), "_decoded": {}, "_room": MEMORY_FOR_PICTURES}

    def image(self, row: int) -> Image.Image:
        """The decoded picture of a row. Raises BrokenPicture."""
        if row in self._decoded:
            return self._decoded[row]
        image = self._rows[row].picture.image(self._at_least)
        self._remember(row, image)
        return image

    def keep_readable(self, skipped: SkipLog) -> list[int]:
        """Drops the rows whose picture cannot be decoded; `skipped` gets the reasons. -> which rows are left"""
        kept = []
        for number, image in readable_pictures(self._rows, self._at_least, skipped):
            self._remember(len(kept), image)
            kept.append(number)
        self._rows = [self._rows[number] for number in kept]
        return kept

    def share_memory(self, processes: int) -> None:
        """From now on as many processes keep decoded pictures where one did."""
        self._room //= processes

    def _remember(self, row: int, image: Image.Image) -> None:
        size = 3 * image.width * image.height
        if size <= self._room:
            self._decoded[row] = image
            self._room -= size


def readable_pictures(rows: Sequence[Row], at_least: int | None, skipped: SkipLog) -> Iterator[tuple[int, Image.Image]]:
    """Number and decoded picture of each row that can be read; the others go to `skipped` with the reason."""
    for number, row in enumerate(rows):
        try:
            image = row.picture.image(at_least)
        except BrokenPicture as error:
            skipped.add(row.key, str(error))
        else:
            yield number, image


class PairBatches(Dataset[Batch]):
    """Shuffled batches of pairs, epoch after epoch; the last incomplete batch of an epoch is dropped.

    keys, pairs: one a row; parts: an image part and a text part. A set smaller than one batch gives one batch of all
    its rows. ranks: each gives its share of every batch, so that all together give what one process would.
    lengths, bucket: rows of `bucket` batches at a time are dealt out by these lengths, one a row, so that those of a
    batch are alike; which rows come together so, and when a batch has its turn in the epoch, stays random.
    Raises DataError for fewer than two rows, and for a batch that does not divide among the ranks.
    """

    def __init__(
        self,
        keys: Sequence[str],
        pairs: Sequence[str],
        parts: Sequence[Part],
        *,
        batch_size: int,
        seed: int,
        ranks: Ranks = ALONE,
        lengths: Sequence[float] = (),
        bucket: int = 0,
    ) -> None:
        if len(keys) < 2:
            raise DataError(f"contrastive training needs at least two pairs; this set has {len(keys)}")
        number = {pair: index for index, pair in enumerate(dict.fromkeys(pairs))}
        self._keys, self.parts, self.seed = keys, parts, seed
        self.pair_id = torch.tensor([number[pair] for pair in pairs])
        self.batch_size = min(batch_size, len(keys))
        self.steps_per_epoch = len(keys) // self.batch_size
        self._own = own_share(self.batch_size, ranks)
        self._lengths, self._bucket = torch.tensor(lengths), bucket
        self._dealt: tuple[int, Tensor] = -1, torch.empty(0)

    def __len__(self) -> int:
        """Endless in principle: steps are numbered through all epochs."""
        return self.steps_per_epoch << 24

    def __getitem__(self, step: int) -> Batch:
        """This rank's share of the batch of one step, counted from the first step of the first epoch."""
        return self.batch_of(self.rows_of(step), step, self._own)

    def rows_of(self, step: int) -> list[int]:
        """The rows of all ranks in the batch of one step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._dealt[0] != epoch:
            self._dealt = epoch, self._deal(epoch)
        return self._dealt[1][place].tolist()

    def batch_of(self, rows: list[int], step: int, own: slice = slice(None)) -> Batch:
        """A batch of any rows, or of those of them that are wanted, with what the draws of this step show of each."""
        fields: dict[str, Any] = {}
        for name, part in enumerate(self.parts):
            fields.update(part(rows, own, generator_for(self.seed, "draw", step, name)))
        rows = rows[own]
        return Batch(pair_id=self.pair_id[rows], key=tuple(self._keys[row] for row in rows), **fields)

    def _deal(self, epoch: int) -> Tensor:
        """Which rows each batch of an epoch holds. -> (steps, batch)"""
        draw = generator_for(self.seed, "order", epoch)
        order = torch.randperm(len(self._keys), generator=draw)[: self.steps_per_epoch * self.batch_size]
        if self._bucket == 0:
            return order.view(-1, self.batch_size)
        buckets = order.split(self._bucket * self.batch_size)
        alike = torch.cat([rows[self._lengths[rows].argsort(stable=True)] for rows in buckets])
        dealt = alike.view(-1, self.batch_size)[torch.randperm(self.steps_per_epoch, generator=draw)]
        return dealt.gather(1, torch.rand(dealt.shape, generator=draw).argsort(dim=1))  # or rank 0 had the shortest

    def steps(self, first: int, last: int, *, workers: int = 0) -> Iterator[Batch]:
        """The batches of steps first, ..., last - 1, made ahead by `workers` processes."""
        return made_ahead(self, first, last, workers)


def own_share(batch_size: int, ranks: Ranks) -> slice:
    """This rank's rows of every batch. Raises DataError for a batch that does not divide among the ranks."""
    share, left = divmod(batch_size, ranks.count)
    if left:
        raise DataError(
            f"a batch of {batch_size} pairs does not divide among {ranks.count} processes; "
            f"set training.batch_size to {share * ranks.count or ranks.count}"
        )
    return slice(ranks.rank * share, (ranks.rank + 1) * share)


def made_ahead(made: Dataset[Made], first: int, last: int, workers: int) -> Iterator[Made]:
    """What `made` gives for first, ..., last - 1, in order, prepared by `workers` processes of one thread each."""
    if workers == 0:
        yield from (made[step] for step in range(first, last))
        return
    yield from DataLoader(
        made,
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        multiprocessing_context="spawn",
        worker_init_fn=_be_a_good_worker,
    )


def each_own(rows: list[int], own: slice, draw: torch.Generator) -> Iterator[tuple[int, torch.Generator]]:
    """Each wanted row with a generator of its own."""
    seeds = torch.randint(1 << 62, (len(rows),), generator=draw)
    for row, seed in zip(rows[own], seeds[own].tolist(), strict=True):
        yield row, torch.Generator().manual_seed(seed)


def draw_index(count: int, draw: torch.Generator) -> int:
    """A number from 0 to count - 1."""
    return 0 if count == 1 else math.floor(torch.rand((), generator=draw).item() * count)


def fewer_words(text: str, left_out: float, draw: torch.Generator) -> str:
    """The text without some of its words, so that none of them alone gives it away (word dropout, Iyyer et al. 2015).

    Each word goes with the same chance, itself drawn from 0 to `left_out` for the text; a text never becomes empty.
    """
    words = text.split()
    chance = left_out * torch.rand((), generator=draw)
    stays = (torch.rand(len(words), generator=draw) >= chance).tolist()
    return " ".join(word for word, here in zip(words, stays, strict=True) if here) or text


def _be_a_good_worker(worker: int) -> None:
    """Control-C reaches every process of a terminal: the training one answers it, after its step, and then ends us.

    One core a worker is enough (torch keeps to one by itself), and all together keep the pictures of one process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    told: Any = get_worker_info()
    for part in getattr(told.dataset, "parts", ()):  # a stream keeps none
        if isinstance(part, Pictures):
            part.share_memory(told.num_workers)
