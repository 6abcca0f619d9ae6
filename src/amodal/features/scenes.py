"""What frozen towers say of scenes and of what is said of them, kept on disk, and batches of it with the truth.

N scenes · M texts · P places · L words · F width of a tower · B rows of a batch
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from amodal.core.batch import Batch, Tokens
from amodal.core.devices import on_every_core
from amodal.core.files import atomic_path
from amodal.core.progress import progress
from amodal.core.seeds import generator_for
from amodal.data.scenes import Scene, Scenes, scene_centres, scene_covers
from amodal.data.tokenizers import Tokenizer
from amodal.features.extract import image_name, pictures_a_batch, prepare_view, text_name, texts_a_batch
from amodal.towers import HuggingFaceTextTower, StageTower


class WordStates(NamedTuple):
    """The states of all words of M texts behind each other, (sum of L, F) float16; text m has rows start[m] to
    start[m + 1]."""

    states: np.ndarray
    start: np.ndarray

    def tokens(self, which: Sequence[int]) -> Tokens:
        """These texts, padded to the longest of them. -> Tokens (B, L, F), pooled the mean word"""
        length = self.start[np.add(which, 1)] - self.start[which]
        sequence = np.zeros((len(which), length.max(), self.states.shape[1]), np.float32)
        for row, text in enumerate(which):
            sequence[row, : length[row]] = self.states[self.start[text] : self.start[text + 1]]
        mask = torch.arange(int(length.max())) < torch.from_numpy(length)[:, None]
        words = torch.from_numpy(sequence)
        return Tokens(words, mask, words.sum(dim=1) / mask.sum(dim=1, keepdim=True))


def scene_maps(tower: StageTower, scenes: Scenes, *, folder: Path, device: torch.device) -> np.ndarray:
    """The places of every scene of a split of some length. -> (N, P, F) float16, mapped from a file in `folder`"""
    said = f"{image_name(tower)} {scenes.split} {scenes.seed} {scenes.size} {len(scenes)} {scenes.language}"
    path = folder / f"maps-{hashlib.sha256(said.encode()).hexdigest()[:24]}.npy"
    if not path.exists():
        with atomic_path(path) as part:
            shape = (len(scenes), tower.grid[0] * tower.grid[1], tower.width)
            kept = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
            _look(tower.eval(), scenes, kept, device)
            kept.flush()
    return np.load(path, mmap_mode="r")


def _look(tower: StageTower, scenes: Scenes, kept_NPF: np.ndarray, device: torch.device) -> None:
    size = pictures_a_batch(device)
    starts = range(0, len(scenes), size)

    @torch.inference_mode()
    def run(start: int) -> np.ndarray:
        numbers = range(start, min(start + size, len(scenes)))
        pictures = [Image.fromarray(scenes[number].picture) for number in numbers]
        pixels = torch.stack([prepare_view(picture, tower.preprocessing, 0) for picture in pictures]).to(device)
        return tower(pixels.contiguous(memory_format=torch.channels_last)).sequence.cpu().numpy()

    with progress(f"Scenes, {scenes.split}", len(scenes), "scenes") as bar:
        for start, places in zip(starts, on_every_core(run, starts, device), strict=True):
            kept_NPF[start : start + len(places)] = places
            bar.update(len(places))


def word_states(
    tower: HuggingFaceTextTower, tokenizer: Tokenizer, texts: Sequence[str], *, folder: Path, device: torch.device
) -> WordStates:
    """The states of every word of every text, computed once for these texts and mapped from a file in `folder`."""
    digest = hashlib.sha256(text_name(tower, tokenizer).encode())
    for text in texts:
        digest.update(text.encode() + b"\0")
    path = folder / f"words-{digest.hexdigest()[:24]}.npy"
    start = np.cumsum([0, *np.minimum(tokenizer.lengths(texts), tokenizer.context_length)])
    if not path.exists():
        with atomic_path(path) as part:
            shape = (int(start[-1]), tower.width)
            kept = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
            _read(tower.eval(), tokenizer, texts, start, kept, device)
            kept.flush()
    return WordStates(np.load(path, mmap_mode="r"), start)


def _read(
    tower: HuggingFaceTextTower,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    start_M: np.ndarray,
    kept: np.ndarray,
    device: torch.device,
) -> None:
    order: list[int] = np.argsort(np.diff(start_M), kind="stable").tolist()  # alike in length: little padding
    size = texts_a_batch(device)
    parts = [order[at : at + size] for at in range(0, len(order), size)]

    @torch.inference_mode()
    def run(part: list[int]) -> np.ndarray:
        ids, mask = tokenizer([texts[text] for text in part])
        return tower(ids.to(device), mask.to(device)).sequence.cpu().numpy()

    with progress("Words", len(texts), "texts") as bar:
        for part, said in zip(parts, on_every_core(run, parts, device), strict=True):
            for row, text in enumerate(part):
                kept[start_M[text] : start_M[text + 1]] = said[row, : start_M[text + 1] - start_M[text]]
            bar.update(len(part))


class Line(NamedTuple):
    """One text said of one scene. group: lines of one group are told apart; kind: of change or question; links: see
    `word_links`; fits: whether it is true; answer: place in the list of answers."""

    scene: int
    group: int
    kind: str
    text: int
    links: list[tuple[int, tuple[int, ...]]]
    fits: bool = True
    answer: int = 0


class Places(NamedTuple):
    """Of each thing of a scene, (N, P): how much of a place it covers, and how much of its centre is there."""

    covers: np.ndarray
    centres: np.ndarray


def places_of(scene: Scene, side: int, *, boxes: bool = False) -> Places:
    """-> Places on a grid of side x side; boxes: by the things' boxes in place of their visible pixels"""
    return Places(scene_covers(scene, side, boxes=boxes), scene_centres(scene, side))


@dataclass(frozen=True, kw_only=True)
class SceneLines:
    """Lines about scenes with what the towers said of both. groups: the lines of each, in order."""

    maps: np.ndarray
    words: WordStates
    places: Sequence[Places]
    lines: Sequence[Line]
    groups: Sequence[Sequence[int]]

    def batch(self, chosen: Sequence[int]) -> Batch:
        """These lines as a batch with cached tokens and their truth; each of their scenes is there once."""
        lines = [self.lines[number] for number in chosen]
        scenes, picture = np.unique([line.scene for line in lines], return_inverse=True)
        image = torch.from_numpy(self.maps[scenes].astype(np.float32))
        text = self.words.tokens([line.text for line in lines])
        truth = {
            **self._where(lines, text.mask.shape[1]),
            "fits": torch.tensor([line.fits for line in lines]),
            "answer": torch.tensor([line.answer for line in lines]),
        }
        return Batch(
            pair_id=torch.tensor([line.group for line in lines]),
            key=tuple(f"scene {line.scene}, {line.kind}" for line in lines),
            image=Tokens(image, torch.ones(image.shape[:2], dtype=torch.bool), image.mean(dim=1)),
            text=text,
            picture=torch.from_numpy(picture),
            truth=truth,
        )

    @property
    def kinds(self) -> list[str]:
        """Of each group what is changed or asked."""
        return [self.lines[members[0]].kind for members in self.groups]

    def true_and_false(self, score_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The scores of the true captions of trials, and of the false ones. -> (T,), (T,)"""
        return score_N[[members[0] for members in self.groups]], score_N[[members[1] for members in self.groups]]

    def _where(self, lines: Sequence[Line], longest: int) -> dict[str, Tensor]:
        covers, centres = np.zeros((2, len(lines), longest, self.places[0].covers.shape[1]), np.float32)
        linked = np.zeros((len(lines), longest), bool)
        for row, line in enumerate(lines):
            for token, things in line.links:
                linked[row, token] = True
                covers[row, token] = self.places[line.scene].covers[list(things)].sum(axis=0)
                centres[row, token] = self.places[line.scene].centres[list(things)].sum(axis=0)
        found = {"covers": covers, "centres": centres, "linked": linked}
        return {name: torch.from_numpy(value) for name, value in found.items()}


class SceneBatches:
    """Groups of lines at random, each scene once an epoch; see `training.Batches`.

    size: scenes of a batch; each: groups of a scene at most, drawn anew every time. A picture costs what its places
    cost, and little more for each text about it; so all that is said of a scene is best learnt at once.
    """

    def __init__(self, lines: SceneLines, *, size: int, each: int, seed: int) -> None:
        self.lines, self.size, self.each, self.seed = lines, size, each, seed
        self._of: dict[int, list[int]] = {}
        for group, members in enumerate(lines.groups):
            self._of.setdefault(lines.lines[members[0]].scene, []).append(group)
        self._scenes = list(self._of)
        self.steps_per_epoch = max(1, len(self._scenes) // size)

    def steps(self, first: int, last: int, *, workers: int = 0) -> Iterator[Batch]:
        """The batches of steps first, ..., last - 1; the same for the same number."""
        for step in range(first, last):
            epoch, place = divmod(step, self.steps_per_epoch)
            order = torch.randperm(len(self._scenes), generator=generator_for(self.seed, "epoch", epoch))
            draw = generator_for(self.seed, "step", step)
            chosen: list[int] = []
            for number in order[place * self.size : (place + 1) * self.size].tolist():
                groups = self._of[self._scenes[number]]
                for group in torch.randperm(len(groups), generator=draw)[: self.each].tolist():
                    chosen.extend(self.lines.groups[groups[group]])
            yield self.lines.batch(chosen)
