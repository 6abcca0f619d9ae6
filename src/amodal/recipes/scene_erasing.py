"""Whether a score hangs on what a phrase's map shows: pixels taken away by the map, the highest first, and put back.

K pictures of a curve · G G cells · H W pixels
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from PIL import Image

from amodal.evaluation import enlarged
from amodal.features import SceneLines
from amodal.metrics import Figure, bootstrap_mean, deletion_insertion
from amodal.models import Reader
from amodal.recipes.scene_data import Pointing, SceneSource

PHRASES, STEPS, CELLS = 24, 4, 8
"""Phrases of a split, each of a picture of its own; steps of a curve; cells to a side that are taken away as one."""


@torch.inference_mode()
def erasing(source: SceneSource, model: Reader, split: str, lines: SceneLines) -> dict[str, Figure]:
    """`grounding/` deletion and insertion (Petsiuk et al. 2018): the mean chance that the true caption fits while the
    cells of a phrase's map give way to the picture's mean colour, the highest first (lower is better), and while they
    come back to it (higher is better). chance: of the same cells in a random order.

    Raises ValueError when no phrase of the split has a thing.
    """
    rows, draw = [], np.random.default_rng(0)
    for each in islice(_one_a_picture(source, split, lines), PHRASES):
        batch = lines.batch([each.line]).to(source.towers.device)
        map_GG = enlarged(model(batch).phrase(0, each.words, model.grid).cpu().numpy(), (CELLS, CELLS))
        score = _Score(source, model, split, lines, each)
        at_random = draw.permuted(map_GG.ravel()).reshape(map_GG.shape)
        rows.append([*deletion_insertion(score, map_GG, STEPS), *deletion_insertion(score, at_random, STEPS)])
    if not rows:
        raise ValueError(f"no phrase of {split} has a thing")
    *by_map, deletion, insertion = np.array(rows).T
    return {
        "grounding/deletion": _figure(by_map[0], deletion),
        "grounding/insertion": _figure(by_map[1], insertion),
    }


def _figure(by_map_N: np.ndarray, by_chance_N: np.ndarray) -> Figure:
    mean, low, high = bootstrap_mean(by_map_N)
    return Figure(value=mean, low=low, high=high, chance=float(by_chance_N.mean()), n=len(by_map_N))


class _Score:
    """The chance that a line's text fits its scene where only some cells are left. (K, G, G) bool -> (K,)"""

    def __init__(self, source: SceneSource, model: Reader, split: str, lines: SceneLines, each: Pointing) -> None:
        self.towers, self.model, self.lines, self.phrase = source.towers, model, lines, each
        self.picture_HW3 = source.scenes(split)[lines.lines[each.line].scene].picture

    def __call__(self, kept_KGG: np.ndarray) -> np.ndarray:
        height, width = self.picture_HW3.shape[:2]
        cells = (np.arange(height) * CELLS // height)[:, None], np.arange(width) * CELLS // width
        blank = self.picture_HW3.mean(axis=(0, 1)).astype(np.uint8)
        shown = [Image.fromarray(np.where(kept[cells][..., None], self.picture_HW3, blank)) for kept in kept_KGG]
        said = self.lines.batch([self.phrase.line] * len(shown))
        batch = replace(said, image=None, pixels=self.towers.pixels(shown), picture=torch.arange(len(shown)))
        return self.model(batch.to(self.towers.device)).fit_B.sigmoid().cpu().numpy()


def _one_a_picture(source: SceneSource, split: str, lines: SceneLines) -> Iterator[Pointing]:
    seen = set()
    for each in source.pointings(split, lines, few=True):
        scene = lines.lines[each.line].scene
        if scene not in seen:
            seen.add(scene)
            yield each
