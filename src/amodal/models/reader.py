"""Words that are tied to places first, and then read what they found and where (after MDETR, Kamath et al. 2021; words
attend to regions as in SCAN, Lee et al. 2018; numbers as sums over places, Lempitsky & Zisserman 2010).

B rows · S pictures · P places · L words · D width · N bins of a number · R C rows and columns of a grid of places
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Batch
from amodal.fusion import SelfBlock, centres, check_filled, masked_mean, order_sines
from amodal.models.fused import Heads, both, present


class Found(NamedTuple):
    """Where words are in a picture. look_BLP: logits of which place a word looks at; there_BLP: log-odds that what it
    means is seen there; amount_BLP: how many of the things that it means have their centre there; means_BL: log-odds
    that a word means things at all ("cat" and "red" do, "of" does not); key_BPD, query_BLD: of unit length, what the
    places of a row's picture and its words are compared by."""

    look_BLP: Tensor
    there_BLP: Tensor
    amount_BLP: Tensor
    means_BL: Tensor
    key_BPD: Tensor
    query_BLD: Tensor


class ReadFeatures(NamedTuple):
    """`FusedFeatures`; where the words were found, as in `Found`; and image_BD, text_BD: pictures and texts as wholes,
    of unit length, each without a look at the other."""

    joint_BD: Tensor
    fit_B: Tensor
    answer_BA: Tensor
    look_BLP: Tensor
    there_BLP: Tensor
    amount_BLP: Tensor
    means_BL: Tensor
    key_BPD: Tensor
    query_BLD: Tensor
    image_BD: Tensor
    text_BD: Tensor

    def phrase(self, row: int, words: Sequence[int], grid: tuple[int, int]) -> Tensor:
        """Where some words of a row are together: their mean log-odds, each as far as it means things. -> (R, C)"""
        own = list(words)
        weight_L = self.means_BL[row, own].sigmoid()
        weight_L = weight_L / weight_L.sum().clamp(min=1e-6)
        return (weight_L @ self.there_BLP[row, own]).unflatten(0, grid)


class FinePlaces(nn.Module):
    """Places of maps of several stages (`StageTower`), on the grid of the finest, each seeing its neighbours.

    What stands at a place does not depend on where that is: a thing is known wherever it lies. folds: channels and
    factor of each stage, as `StageTower.folds`.
    """

    def __init__(self, folds: Sequence[tuple[int, int]], width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.folds, self.coarse = tuple(folds), grid
        self.fine = max(factor for _, factor in folds)
        self.grid = (self.fine * grid[0], self.fine * grid[1])
        self.stages = nn.ModuleList(nn.Linear(channels, width) for channels, _ in folds)
        self.around = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, image_SPF: Tensor) -> Tensor:
        """Folded places of the coarsest stage (S, R C, F) -> places of the finest (S, fine R fine C, D)"""
        parts, maps = image_SPF.split([channels * factor**2 for channels, factor in self.folds], dim=2), []
        for part, stage, (channels, factor) in zip(parts, self.stages, self.folds, strict=True):
            part = part.unflatten(2, (channels, factor, factor)).unflatten(1, self.coarse)
            part_SDRC = stage(part.permute(0, 1, 4, 2, 5, 3).flatten(3, 4).flatten(1, 2)).movedim(3, 1)
            maps.append(F.interpolate(part_SDRC, scale_factor=self.fine // factor))
        x_SDRC = F.gelu(torch.stack(maps).sum(dim=0))
        return (x_SDRC + F.gelu(self.around(x_SDRC))).flatten(2).transpose(1, 2)


class WordFinder(nn.Module):
    """Compares every word with every place by the cosine of two projections. -> Found

    amount: a place is a centre or not whatever the word; times whether the word is there, that sums to a number over
    places.
    """

    def __init__(self, text_width: int, width: int) -> None:
        super().__init__()
        self.key = nn.Linear(width, width)
        self.query = nn.Sequential(nn.Linear(text_width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.means, self.centre = nn.Linear(text_width, 1), nn.Linear(width, 1)
        self.scale, self.shift = nn.Parameter(torch.tensor(math.log(16.0))), nn.Parameter(torch.tensor(-3.0))

    def forward(self, what_SPD: Tensor, text_BLF: Tensor, picture_B: Tensor) -> Found:
        """picture: which of the pictures each text is about. -> Found"""
        key_BPD = F.normalize(self.key(what_SPD), dim=-1)[picture_B]
        query_BLD = F.normalize(self.query(text_BLF), dim=-1)
        look_BLP = query_BLD @ key_BPD.transpose(1, 2) * self.scale.exp()
        there_BLP = look_BLP + self.shift
        centre_SP = F.softplus(self.centre(what_SPD)[..., 0] - 1)
        amount_BLP = there_BLP.sigmoid() * centre_SP[picture_B][:, None]
        return Found(look_BLP, there_BLP, amount_BLP, self.means(text_BLF)[..., 0], key_BPD, query_BLD)


class Facts(NamedTuple):
    """What was found of each word's things, (B, L, 1 or 2): where in the picture, how far spread, how large, how
    many."""

    where: Tensor
    spread: Tensor
    size: Tensor
    number: Tensor


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

    def forward(self, what_BPD: Tensor, seen_B11: Tensor, found: Found) -> tuple[Tensor, Facts]:
        """seen: whether a row has its picture. -> what is read (B, L, D), Facts"""
        look_BLP = found.look_BLP.softmax(dim=-1) * seen_B11
        where_BL2 = look_BLP @ self.places
        spread_BL2 = (look_BLP @ self.places.square() - where_BL2.square()).clamp(min=1e-6).sqrt()
        share_BL1 = (found.there_BLP.sigmoid() * seen_B11).mean(dim=-1, keepdim=True)
        size_BL1 = (64 * share_BL1).clamp(min=0.05).log() + 2  # in 64ths of the picture, whatever the grid
        number_BL1 = (found.amount_BLP * seen_B11).sum(dim=-1, keepdim=True)
        facts = Facts(4 * where_BL2 - 2, spread_BL2, size_BL1, number_BL1)
        told = [facts.where, facts.spread, self._binned(number_BL1), self._binned(size_BL1), number_BL1]
        read_BLD = self.facts(torch.cat(told, dim=-1)) + self.norm(self.value(look_BLP @ what_BPD))
        return found.means_BL.sigmoid()[..., None] * read_BLD, facts

    def _binned(self, x_BL1: Tensor) -> Tensor:
        """A number as how near it is to each bin: so a layer can tell two from three. -> (B, L, N)"""
        return (-((x_BL1 - self.bins) ** 2) / 0.18).exp()


class Agreeing(nn.Module):
    """Every word with what was found of it: of "three red apples" the number and the colour of the apples.

    A product, as in `Comparing`, for the same reason.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.said, self.found = nn.Linear(width, half), nn.Linear(width, half)
        self.out = nn.Linear(half, width, bias=False)

    def forward(self, words_BLD: Tensor, read_BLD: Tensor) -> Tensor:
        """-> (B, L, D), to be added"""
        return self.out(self.said(words_BLD) * self.found(read_BLD))


class Comparing(nn.Module):
    """Every word with every later one by what was found of both (relation networks, Santoro et al. 2017).

    What a pair says is a product (FiLM, Perez et al. 2018) of how far apart the facts of the two are and of the words:
    the two themselves, and those between them that mean no things, such as "left of". A sum of the two would have to
    learn the product first, and hardly does from some ten thousand captions.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.one, self.other, self.between = (nn.Linear(width, half) for _ in range(3))
        self.apart, self.out = nn.Linear(6, half, bias=False), nn.Linear(half, width, bias=False)

    def forward(self, x_BLD: Tensor, facts: Facts, means_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """-> (B, L, D), to be added"""
        thing_BL = means_BL.sigmoid() * mask_BL
        other_BL1 = ((1 - means_BL.sigmoid()) * mask_BL)[..., None]
        said_BLD, count_BL1 = (other_BL1 * self.between(x_BLD)).cumsum(dim=1), other_BL1.cumsum(dim=1)
        between_BLLD = _apart(said_BLD) / _apart(count_BL1).clamp(min=0.5)
        words_BLLD = between_BLLD + self.one(x_BLD)[:, :, None] + self.other(x_BLD)[:, None]
        pair_BLLD = words_BLLD * _apart(self.apart(torch.cat(facts, dim=-1)))
        share_BLL = (thing_BL[:, :, None] * thing_BL[:, None]).triu(1)
        return self.out(torch.einsum("bijd,bij->bid", pair_BLLD, share_BLL))


def _apart(x_BLD: Tensor) -> Tensor:
    """Of each word and each other the second's less the first's. -> (B, L, L, D)"""
    return x_BLD[:, None] - x_BLD[:, :, None]


class Reader(nn.Module):
    """Words find their places, read what is there, and then look at each other: layers over the words alone.

    Everything that stands for places is computed once a picture, however many texts are about it. What words are
    compared with and what they read have maps of their own: a thing is to be found whatever its colour, and the colour
    to be read. `Found` can be supervised (`amodal.tasks.Grounded`); without that, what words look at is hardly ever
    learnt from matching. folds: channels and factor of the image tower's stages, see `StageTower`; grid: rows and
    columns of its places; `self.grid`: those of what is found, the finest stage's.
    """

    def __init__(
        self, image_tower: nn.Module, text_tower: nn.Module, *, folds: Sequence[tuple[int, int]], text_width: int,
        width: int, heads: int, depth: int, grid: tuple[int, int], answers: int = 0, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.image_tower, self.text_tower = image_tower, text_tower
        self.places, self.finder = FinePlaces(folds, width, grid), WordFinder(text_width, width)
        self.grid = self.places.grid
        self.text_norm, self.dropout = nn.LayerNorm(text_width), nn.Dropout(dropout)
        self.reading, self.agreeing, self.comparing = Reading(width, self.grid), Agreeing(width), Comparing(width)
        self.image_whole, self.text_whole = nn.Linear(width, width), nn.Linear(text_width, width)
        self.words = nn.Linear(text_width, width)
        self.layers = nn.ModuleList(SelfBlock(width, heads) for _ in range(depth))
        self.norm, self.heads = nn.LayerNorm(width), Heads(width, answers)
        self.contents = FinePlaces(folds, width, grid)

    def forward(self, batch: Batch) -> ReadFeatures:
        """-> ReadFeatures. Raises ValueError when a modality is absent, or places do not fill the grid."""
        image, text = both(self, batch)
        check_filled(image.mask, self.places.coarse)
        real = image.sequence[:, : math.prod(self.places.coarse)]  # what stands behind is padding
        normed = self.dropout(F.layer_norm(real, real.shape[2:]))
        what, contents = self.places(normed), self.contents(normed)
        words, mask = self.dropout(self.text_norm(text.sequence)), present(text.mask, batch, "text")
        picture = torch.arange(len(what), device=what.device) if batch.picture is None else batch.picture
        found = self.finder(what, words, picture)
        seen = present(torch.ones_like(mask[:, :1]), batch, "image")[..., None]
        order = order_sines(words.shape[1], self.norm.normalized_shape[0]).to(words)
        read, facts = self.reading(contents[picture], seen, found)
        said = self.words(words)
        x = said + 0.3 * order + read + self.agreeing(said, read)
        x = x + self.comparing(x, facts, found.means_BL, mask)
        for layer in self.layers:
            x = layer(x, mask)
        judged = self.heads(masked_mean(self.norm(x), mask))
        image_whole = F.normalize(self.image_whole(what.mean(dim=1)), dim=-1)
        text_whole = F.normalize(self.text_whole(masked_mean(words, mask)), dim=-1)
        return ReadFeatures(*judged, *found, image_BD=image_whole[picture], text_BD=text_whole)
