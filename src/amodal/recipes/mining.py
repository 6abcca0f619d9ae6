"""Hard negatives for a run: mined anew every so many epochs from what the model then says of all its training pairs.

N rows · M captions · D width of the joint space
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from amodal.core.errors import DataError
from amodal.data.batches import PairBatches
from amodal.data.mined import MinedBatches
from amodal.features import CachedImages, CachedTexts, Encoder
from amodal.recipes.schema import MiningConfig
from amodal.search import NONE, Exact, Guard, mine
from amodal.tasks import Contrastive, MinedContrastive


@dataclass(frozen=True)
class Miner:
    """Fills the candidates of a task from cached features of frozen towers. say: told what was mined first."""

    config: MiningConfig
    encoder: Encoder
    pairs: PairBatches
    task: MinedContrastive
    say: Callable[[str], None] = lambda line: None

    def begin(self, epoch: int) -> None:
        """Mines, when it is time in this epoch."""
        if epoch % self.config.every == 0:
            self.mine()
            if epoch == 0:
                self._tell()

    @torch.no_grad()
    def mine(self) -> None:
        """Of each row the rows whose captions are hard for its picture, and those whose pictures are hard for its
        captions. A row's captions count by the mean of their vectors."""
        images, texts = self.pairs.parts
        assert isinstance(images, CachedImages)
        assert isinstance(texts, CachedTexts)
        training = self.encoder.model.training
        image_ND = self.encoder.head_images(images.features_VNF)
        word_MD = torch.from_numpy(self.encoder.head_texts(texts.features_MF))
        self.encoder.model.train(training)
        text_ND = F.normalize(texts.mean_of_captions(word_MD), dim=-1).numpy()
        ids_N, positive_N = self.pairs.pair_id.numpy(), (image_ND * text_ND).sum(axis=1)
        guard = Guard(self.config.share, self.config.margin)
        sides = ((self.task.text_NP, image_ND, text_ND), (self.task.image_NP, text_ND, image_ND))
        for table, query_ND, other_ND in sides:
            found = mine(Exact(other_ND), query_ND, ids_N, ids_N, positive_N, count=self.config.pool, guard=guard)
            table.copy_(torch.from_numpy(found))

    def candidates(self) -> tuple[Tensor, Tensor]:
        """As they are now, for `MinedBatches`."""
        return self.task.text_NP, self.task.image_NP

    def _tell(self) -> None:
        found = torch.stack([self.task.text_NP, self.task.image_NP]) != NONE
        without = int((~found.any(dim=2)).any(dim=0).sum())
        self.say(
            f"mined {found.sum(dim=2).double().mean().item():.1f} hard negatives a side of {found.shape[1]:,} pairs"
            + (
                f"; {without:,} have none that is not taken for a match (mining.share, mining.margin)"
                if without
                else ""
            )
        )


def mined(
    config: MiningConfig, encoder: Encoder, pairs: PairBatches, task: Contrastive, say: Callable[[str], None]
) -> tuple[MinedContrastive, MinedBatches]:
    """A task and its batches with hard negatives from all of `pairs`. Raises DataError when these are of one pair."""
    if len(pairs.pair_id.unique()) < 2:
        raise DataError("all training pairs are positives of each other, so none is a negative; add other pairs")
    how: dict[str, Any] = {"ranks": task.ranks, "precision": task.precision}
    with_mined = MinedContrastive(task.objective, rows=len(pairs.pair_id), pool=config.pool, **how)
    miner = Miner(config, encoder, pairs, with_mined, say)
    return with_mined, MinedBatches(pairs, miner.candidates, each=config.each, begin=miner.begin)
