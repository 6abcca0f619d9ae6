"""What a run that learnt from scenes is used with: pictures and words that meet, and no vectors of either alone.

N pictures, each with a text of its own
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from amodal.core.batch import Batch
from amodal.core.errors import DataError, UsageError
from amodal.data.pictures import BrokenPicture
from amodal.data.rows import Row
from amodal.features import prepare_view
from amodal.inference.grounding import Grounding, grounded
from amodal.inference.model import Picture, as_row
from amodal.models import Reader
from amodal.recipes import SceneSource

_AT_ONCE = 32


class FusedModel:
    """A loaded matcher or answerer. Pictures are paths, bytes or PIL images, squashed to the square of its scenes."""

    def __init__(self, model: nn.Module, source: SceneSource, *, name: str) -> None:
        self.model, self.source, self.name = model.eval(), source, name

    def __repr__(self) -> str:
        return f"amodal.FusedModel({self.name!r})"

    def match(self, pictures: Sequence[Picture], texts: Sequence[str]) -> np.ndarray:
        """The log-odds that each picture (N) fits the text (N) in its place. -> (N,)

        Raises UsageError for unequal numbers and for a run that learnt to answer, DataError for unreadable pictures.
        """
        return self._said("matching", pictures, texts).numpy()

    def answer(self, pictures: Sequence[Picture], questions: Sequence[str]) -> list[str]:
        """The best answer of the run's list to the question (N) about the picture (N) in its place.

        Raises UsageError for unequal numbers and for a run that learnt to match, DataError for unreadable pictures.
        """
        best_N = self._said("answering", pictures, questions).reshape(-1, len(self.source.answers)).argmax(dim=1)
        return [self.source.answers[number] for number in best_N.tolist()]

    def ground(self, picture: Picture, sentence: str) -> Grounding:
        """Whether the sentence fits the picture, a box for each of its phrases and a heat map for each of its words.

        A phrase is a run of neighbouring words of which the model thinks that they mean things: of "the red apple left
        of a cat", "red apple" and "cat". Its map is the mean of its words' log-odds, each as far as it means things.
        Raises DataError for a picture that cannot be read, UsageError for a sentence without a word or too long and for
        a fusion that ties no words to places.
        """
        if not isinstance(self.model, Reader):
            fusion = self.source.recipe.model.fusion
            raise UsageError(
                f"{self.name} ({fusion}) does not tell where words are; train one with: amodal train matching"
            )
        return grounded(self.model, self.source, picture, sentence)

    @torch.inference_mode()
    def _said(self, job: str, pictures: Sequence[Picture], texts: Sequence[str]) -> Tensor:
        learnt = self.source.recipe.task.name
        if learnt != job:
            raise UsageError(f"{self.name} learnt {learnt}; for this train one with: amodal train {job}")
        if len(pictures) != len(texts):
            raise UsageError(
                f"{len(pictures)} pictures go with {len(texts)} texts; give as many of one as of the other"
            )
        found = [torch.empty(0)]
        for start in range(0, len(pictures), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            features = self.model(self._batch(pictures[part], texts[part], start))
            found.append((features.fit_B if job == "matching" else features.answer_BA).cpu())
        return torch.cat(found) if job == "matching" else torch.cat([x.flatten() for x in found])

    def _batch(self, pictures: Sequence[Picture], texts: Sequence[str], start: int) -> Batch:
        towers = self.source.towers
        ids, mask = towers.tokenizer(list(texts))
        rows = [as_row(picture, start + number) for number, picture in enumerate(pictures)]
        pixels = torch.stack([self._pixels(row) for row in rows]).contiguous(memory_format=torch.channels_last)
        batch = Batch(
            pair_id=torch.arange(len(rows)),
            key=tuple(row.key for row in rows),
            pixels=pixels,
            ids=ids,
            ids_mask=mask,
        )
        return batch.to(towers.device)

    def _pixels(self, row: Row) -> Tensor:
        preprocessing = self.source.towers.image.preprocessing
        try:
            return prepare_view(row.picture.image(preprocessing.size), preprocessing, 0)
        except BrokenPicture as error:
            raise DataError(f"{row.key}: {error}; leave it out or mend it") from error
