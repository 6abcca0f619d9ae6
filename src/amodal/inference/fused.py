"""What a run that learnt from scenes is used with: pictures and words that meet, and no vectors of either alone.

N pictures, each with a text of its own
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from amodal.core.batch import Batch
from amodal.core.errors import UsageError
from amodal.data.pictures import Picture
from amodal.inference.grounding import Grounding, grounded
from amodal.inference.opened import opened
from amodal.models import Reader
from amodal.recipes import SceneSource

_AT_ONCE = 32


class FusedModel:
    """A loaded run that learnt from scenes. Pictures are paths, bytes or PIL images, squashed to the square of its
    scenes."""

    def __init__(self, model: nn.Module, source: SceneSource, *, name: str) -> None:
        self.model, self.source, self.name = model.eval(), source, name

    def __repr__(self) -> str:
        return f"amodal.FusedModel({self.name!r})"

    def match(self, pictures: Sequence[Picture], texts: Sequence[str]) -> np.ndarray:
        """The log-odds that each picture (N) fits the text (N) in its place; of 32 rows each picture is looked at once.

        -> (N,) Raises UsageError for unequal numbers and for a run that learnt to answer, DataError for a picture that
        cannot be read.
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
        pictures = list(pictures)  # held, or the id of one could come again
        first: dict[int, int] = {}
        shown = [first.setdefault(id(picture), number) for number, picture in enumerate(pictures)]
        order = np.argsort(shown, kind="stable")  # a picture that recurs beside itself
        found = [torch.empty(0)]
        for start in range(0, len(order), _AT_ONCE):
            features = self.model(self._batch(pictures, texts, shown, order[start : start + _AT_ONCE].tolist()))
            found.append((features.fit_B if job == "matching" else features.answer_BA).cpu())
        return torch.cat(found)[np.argsort(order)]

    def _batch(
        self, pictures: Sequence[Picture], texts: Sequence[str], shown: Sequence[int], rows: Sequence[int]
    ) -> Batch:
        towers, numbers = self.source.towers, sorted({shown[row] for row in rows})
        held = [opened(pictures[number], number, towers.image.preprocessing.size) for number in numbers]
        return towers.batch(held, [texts[row] for row in rows], [numbers.index(shown[row]) for row in rows])
