"""Scenes of a split with what is said of them, as lines for a model: trials of captions, or questions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from amodal.core.batch import Batch
from amodal.core.progress import progress
from amodal.data.scenes import Scene, Scenes, answer_list, pointed_answer, trials, word_links
from amodal.data.scenes.scene import Caption, Question
from amodal.data.tokenizers import Tokenizer
from amodal.features import Line, Places, SceneLines, places_of, prepare_view, scene_maps, word_states
from amodal.metrics import Box
from amodal.recipes.scene_schema import SceneRecipe
from amodal.towers import HuggingFaceTextTower, StageTower

CHOSEN_BY = ("validation", "validation-concepts")
JUDGED_BY = ("seen", "held-out-concepts", "held-out-combinations")


@dataclass(frozen=True)
class Towers:
    """The frozen towers of a run, the tokenizer, and where what they said is kept."""

    image: StageTower
    text: HuggingFaceTextTower
    tokenizer: Tokenizer
    folder: Path
    device: torch.device

    def batch(self, pictures: Sequence[Image.Image], texts: Sequence[str], about: Sequence[int]) -> Batch:
        """A row a text, with the picture that it is about; the image tower sees each picture once."""
        ids, mask = self.tokenizer(list(texts))
        batch = Batch(
            pair_id=torch.arange(len(texts)),
            key=tuple(f"picture {number}" for number in about),
            pixels=self.pixels(pictures),
            ids=ids,
            ids_mask=mask,
            picture=torch.tensor(about),
        )
        return batch.to(self.device)

    def pixels(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Pictures as the image tower takes them. -> (N, 3, H, W)"""
        pixels = torch.stack([prepare_view(picture, self.image.preprocessing, 0) for picture in pictures])
        return pixels.contiguous(memory_format=torch.channels_last)


class Pointing(NamedTuple):
    """A phrase of a line: its words, the pixels (H, W) that it means, and the boxes of its things."""

    line: int
    words: tuple[int, ...]
    mask_HW: np.ndarray
    boxes: list[Box]


@dataclass(frozen=True)
class SceneSource:
    """What a recipe says of scenes, with the towers that look at them."""

    recipe: SceneRecipe
    towers: Towers

    @cached_property
    def answers(self) -> tuple[str, ...]:
        """The list of answers."""
        return answer_list(Scenes("train", language=self.recipe.data.language).grammar, self.recipe.data.language)

    def scenes(self, split: str) -> Scenes:
        """The scenes of a split, as many as the recipe says."""
        data = self.recipe.data
        count = data.train if split == "train" else data.validation if split in CHOSEN_BY else data.judged
        return Scenes(split, seed=data.seed, language=data.language, count=count)

    def lines(self, split: str) -> SceneLines:
        """All that is said of the scenes of a split, and what the towers make of it."""
        scenes, side = self.scenes(split), self.towers.image.finest[0]
        said, places = self._said(scenes, side)
        texts = sorted({each.text for _, group in said for _, each, _ in group})
        towers = self.towers
        number = {text: place for place, text in enumerate(texts)}
        spans = towers.tokenizer.spans(texts)
        lines, groups = [], []
        for scene, group in said:
            groups.append(range(len(lines), len(lines) + len(group)))
            for kind, each, fits in group:
                text = number[each.text]
                answer = self.answers.index(pointed_answer(each)) if isinstance(each, Question) else 0
                links = word_links(each, spans[text])
                lines.append(Line(scene, len(groups) - 1, kind, text, links, fits, answer))
        return SceneLines(
            maps=scene_maps(towers.image, scenes, folder=towers.folder, device=towers.device),
            words=word_states(towers.text, towers.tokenizer, texts, folder=towers.folder, device=towers.device),
            places=places,
            lines=lines,
            groups=groups,
        )

    def said(self, scene: Scene) -> list[Caption | Question]:
        """All that is said of a scene, line by line."""
        return [each for group in self._groups(scene) for _, each, _ in group]

    def pointings(self, split: str, lines: SceneLines, *, few: bool = False) -> Iterator[Pointing]:
        """Each phrase of what is true or asked of the scenes of a split, whose things are there. lines: theirs; few: of
        the first caption or question of each scene alone."""
        number = 0
        for scene in self.scenes(split).stream():
            for place, group in enumerate(self._groups(scene)):
                for _, each, fits in group:
                    if fits and not (few and place):
                        yield from self._phrases(scene, number, each)
                    number += 1
        if number != len(lines.lines):
            raise ValueError(f"{split} has {number} lines and not {len(lines.lines)}; they are of another recipe")

    def _phrases(self, scene: Scene, line: int, said: Caption | Question) -> Iterator[Pointing]:
        (spans,) = self.towers.tokenizer.spans([said.text])
        for phrase in said.phrases:
            words = [token for token, (start, end) in enumerate(spans) if phrase.start <= start < end <= phrase.end]
            if phrase.things and words:
                boxes = [scene.things[thing].box for thing in phrase.things]
                yield Pointing(line, tuple(words), np.isin(scene.owner, np.add(phrase.things, 1)), boxes)

    def questions(self, lines: SceneLines) -> tuple[Tensor, Tensor]:
        """What the text tower says of each question, the mean word, (Q, F), and its answer (Q,)."""
        pooled = [lines.words.tokens([line.text]).pooled for line in lines.lines]
        return torch.cat(pooled), torch.tensor([line.answer for line in lines.lines])

    def _said(self, scenes: Scenes, side: int) -> tuple[list[tuple[int, "_Group"]], Sequence[Places]]:
        said, places = [], []
        with progress(f"Drawing {scenes.split}", len(scenes), "scenes") as bar:
            for scene in scenes.stream():
                places.append(places_of(scene, side, boxes=self.recipe.data.where == "boxes"))
                said += [(scene.number, group) for group in self._groups(scene)]
                bar.update(1)
        return said, places

    def _groups(self, scene: Scene) -> "list[_Group]":
        return (_questions if self.recipe.task.name == "answering" else _captions)(scene)


_Group = list[tuple[str, Caption | Question, bool]]


def _captions(scene: Scene) -> list[_Group]:
    return [[(each.change, each.true, True), (each.change, each.false, False)] for each in trials(scene)]


def _questions(scene: Scene) -> list[_Group]:
    return [[(question.kind, question, True)] for question in scene.questions]
