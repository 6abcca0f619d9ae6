"""Words that are tied to places first, and then read what they found and where (after MDETR, Kamath et al. 2021; words
attend to regions as in SCAN, Lee et al. 2018; numbers as sums over places, Lempitsky & Zisserman 2010).

B rows · P places · L words · D width · N bins of a number · R C rows and columns of a grid of places
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Batch
from amodal.fusion import SelfBlock, centres, check_filled, masked_mean, order_sines
from amodal.models.fused import Heads, both


class Found(NamedTuple):
    """Where words are in a picture. look_BLP: logits of which place a word looks at; there_BLP: log-odds that what it
    means is seen there; amount_BLP: how many of the things that it means have their centre there; means_BL: log-odds
    that a word means things at all ("cat" and "red" do, "of" does not)."""

    look_BLP: Tensor
    there_BLP: Tensor
    amount_BLP: Tensor
    means_BL: Tensor


class ReadFeatures(NamedTuple):
    """`FusedFeatures`, and where the words were found."""

    joint_BD: Tensor
    fit_B: Tensor
    answer_BA: Tensor
    look_BLP: Tensor
    there_BLP: Tensor
    amount_BLP: Tensor
    means_BL: Tensor

    def phrase(self, row: int, words: Sequence[int], grid: tuple[int, int]) -> Tensor:
        """Where some words of a row are together: their mean log-odds, each as far as it means things. -> (R, C)"""
        own, places = list(words), math.prod(grid)
        weight_L = self.means_BL[row, own].sigmoid()
        weight_L = weight_L / weight_L.sum().clamp(min=1e-6)
        return (weight_L @ self.there_BLP[row, own, :places]).unflatten(0, grid)


class WordFinder(nn.Module):
    """Compares every word with every place by the cosine of two projections. -> Found

    What stands at a place does not depend on where that is: a thing is known wherever it lies. amount: a place is a
    centre or not whatever the word; times whether the word is there, that sums to a number over places.
    """

    def __init__(self, image_width: int, text_width: int, width: int) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(image_width, width), nn.GELU())
        self.key = nn.Linear(width, width)
        self.query = nn.Sequential(nn.Linear(text_width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.means = nn.Linear(text_width, 1)
        self.centre = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.scale, self.shift = nn.Parameter(torch.tensor(math.log(16.0))), nn.Parameter(torch.tensor(-3.0))

    def forward(self, image_BPD: Tensor, image_mask_BP: Tensor, text_BLD: Tensor) -> tuple[Tensor, Found]:
        """-> what stands at each place (B, P, D), Found"""
        what_BPD = self.image(image_BPD)
        key_BPD, query_BLD = F.normalize(self.key(what_BPD), dim=-1), F.normalize(self.query(text_BLD), dim=-1)
        look_BLP = query_BLD @ key_BPD.transpose(1, 2) * self.scale.exp()
        there_BLP = look_BLP + self.shift
        centre_BP = F.softplus(self.centre(what_BPD)[..., 0] - 1) * image_mask_BP
        amount_BLP = there_BLP.sigmoid() * centre_BP[:, None]
        return what_BPD, Found(look_BLP, there_BLP, amount_BLP, self.means(text_BLD)[..., 0])


class Reading(nn.Module):
    """What a word learns from where it was found: what stands there, where, how far spread, how large, how many.

    A word that means nothing looks nowhere in particular: what it reads is weighed down, or it drowns the rest.
    """

    places: Tensor
    bins: Tensor

    def __init__(self, width: int, grid: tuple[int, int], bins: int = 12) -> None:
        super().__init__()
        self.register_buffer("places", centres(grid), persistent=False)
        self.register_buffer("bins", torch.arange(bins) / 2.0, persistent=False)
        self.value, self.norm = nn.Linear(width, width), nn.LayerNorm(width)
        nn.init.constant_(self.norm.weight, 0.2)  # or the facts drown in it, and relations are not learnt
        self.facts = nn.Linear(4 + 2 * bins + 1, width)

    def forward(self, what_BPD: Tensor, mask_BP: Tensor, found: Found) -> Tensor:
        """-> (B, L, D), of finite values for pictures without a place, too"""
        look_BLP = found.look_BLP.masked_fill(~mask_BP[:, None], -1e4).softmax(dim=-1) * mask_BP[:, None]
        places_P2 = F.pad(self.places, (0, 0, 0, look_BLP.shape[2] - len(self.places)))  # padding comes last
        where_BL2 = look_BLP @ places_P2
        spread_BL2 = (look_BLP @ places_P2.square() - where_BL2.square()).clamp(min=1e-6).sqrt()
        there_BLP = found.there_BLP.sigmoid() * mask_BP[:, None]
        size_BL1 = there_BLP.sum(dim=-1, keepdim=True).clamp(min=0.05).log() + 2
        number_BL1 = found.amount_BLP.sum(dim=-1, keepdim=True)
        facts = [4 * where_BL2 - 2, spread_BL2, self._binned(number_BL1), self._binned(size_BL1), number_BL1]
        read_BLD = self.facts(torch.cat(facts, dim=-1)) + self.norm(look_BLP @ self.value(what_BPD))
        return found.means_BL.sigmoid()[..., None] * read_BLD

    def _binned(self, x_BL1: Tensor) -> Tensor:
        """A number as how near it is to each bin: so a layer can tell two from three. -> (B, L, N)"""
        return (-((x_BL1 - self.bins) ** 2) / 0.18).exp()


class Reader(nn.Module):
    """Words find their places, read what is there, and then look at each other: layers over the words alone.

    `Found` can be supervised (`amodal.tasks.Grounded`); without that, what words look at is hardly ever learnt from
    matching. grid: rows and columns of places of the image tower.
    """

    def __init__(
        self, image_tower: nn.Module, text_tower: nn.Module, *, image_width: int, text_width: int, width: int,
        heads: int, depth: int, grid: tuple[int, int], answers: int = 0, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.image_tower, self.text_tower, self.grid = image_tower, text_tower, grid
        self.image_norm, self.text_norm = nn.LayerNorm(image_width), nn.LayerNorm(text_width)
        self.dropout = nn.Dropout(dropout)
        self.finder, self.reading = WordFinder(image_width, text_width, width), Reading(width, grid)
        self.words = nn.Linear(text_width, width)
        self.layers = nn.ModuleList(SelfBlock(width, heads) for _ in range(depth))
        self.norm, self.heads = nn.LayerNorm(width), Heads(width, answers)

    def forward(self, batch: Batch) -> ReadFeatures:
        """-> ReadFeatures. Raises ValueError when a modality is absent, or places do not fill the grid."""
        image, text = both(self, batch)
        check_filled(image.mask, self.grid)
        words = self.dropout(self.text_norm(text.sequence))
        what, found = self.finder(self.dropout(self.image_norm(image.sequence)), image.mask, words)
        order = order_sines(words.shape[1], self.norm.normalized_shape[0]).to(words)
        x = self.words(words) + 0.3 * order + self.reading(what, image.mask, found)
        for layer in self.layers:
            x = layer(x, text.mask)
        return ReadFeatures(*self.heads(masked_mean(self.norm(x), text.mask)), *found)
