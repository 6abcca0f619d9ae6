"""Batches whose pairs bring hard negatives along: rows of the same set that were mined for them.

N rows · P candidates of each · B pairs of a batch · K negatives drawn for each · R rows of a batch with all of these
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from amodal.core.batch import Batch
from amodal.core.seeds import generator_for
from amodal.data.batches import PairBatches

ANCHOR, TEXTS, IMAGES = "anchor", "mined_texts", "mined_images"
"""Names in `Batch.truth`: which rows are the batch's own pairs (R,), and where in the batch the negatives of each row
lie (R, K), -1 where there is none: rows with texts that are hard for its image, with images hard for its text."""


class MinedBatches:
    """Batches of `PairBatches`, each with the rows that were drawn from the candidates of its own rows.

    candidates: gives, as they are now, rows with hard texts for the image of each row (N, P) and rows with hard images
    for its text, -1 where there is none; each: K; begin: called with the number of every epoch before its first batch.
    Batches are made one after the other in this process, because candidates change between them.
    """

    def __init__(
        self,
        pairs: PairBatches,
        candidates: Callable[[], tuple[Tensor, Tensor]],
        *,
        each: int,
        begin: Callable[[int], None],
    ) -> None:
        self.pairs, self.steps_per_epoch = pairs, pairs.steps_per_epoch
        self._candidates, self._each, self._begin = candidates, each, begin

    def steps(self, first: int, last: int, *, workers: int = 0) -> Iterator[Batch]:
        """The batches of steps first, ..., last - 1."""
        for step in range(first, last):
            epoch, place = divmod(step, self.steps_per_epoch)
            if place == 0:
                self._begin(epoch)
            yield self.batch(step)

    def batch(self, step: int) -> Batch:
        """The batch of one step: its own rows first, then each mined row once."""
        own = self.pairs.rows_of(step)
        draw = generator_for(self.pairs.seed, "mined", step)
        texts_BK, images_BK = (self._drawn(table[own].cpu(), draw) for table in self._candidates())
        place = {row: number for number, row in enumerate(own)}
        for row in torch.cat([texts_BK, images_BK], dim=1).flatten().tolist():
            if row >= 0:
                place.setdefault(row, len(place))
        rows = [*own, *list(place)[len(own) :]]
        truth = {ANCHOR: torch.arange(len(rows)) < len(own)}
        for name, row_BK in ((TEXTS, texts_BK), (IMAGES, images_BK)):
            truth[name] = torch.full((len(rows), self._each), -1)
            truth[name][: len(own)] = row_BK.apply_(lambda row: place.get(row, -1))
        return replace(self.pairs.batch_of(rows, step), truth=truth)

    def _drawn(self, row_BP: Tensor, draw: torch.Generator) -> Tensor:
        """K of the candidates of each row, without repetition. -> (B, K), -1 behind the last"""
        turn_BP = torch.rand(row_BP.shape, generator=draw).masked_fill(row_BP < 0, -1)
        return row_BP.gather(1, turn_BP.topk(self._each, dim=1)[1])
