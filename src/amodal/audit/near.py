"""Near-duplicate pictures without comparing all pairs: an index on bands of the hash, then a second look.

N pictures · U leaders · C candidate pairs
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from amodal.data.looks import AGREE, FLAT, RADIUS, alike, distance

BANDS, BITS = 4, 16
"""The index finds all pairs within 7 bits; of those up to `RADIUS`, all that agree to one bit in one of the four
bands, which is most of them."""

_LEADERS = 64
_CANDIDATES_AT_ONCE = 1 << 18
_CROWD = 2048
"""Entries of a band's value beyond which it is passed over: so many pictures agree in it that it tells nothing."""


@dataclass(frozen=True)
class Looks:
    """The looks of N pictures as arrays; see `Look`. A row of a picture that could not be read has deviation 0."""

    hashes: np.ndarray
    grey: np.ndarray
    colour: np.ndarray
    deviation: np.ndarray

    def agree(self, one: np.ndarray, two: np.ndarray) -> np.ndarray:
        """Agreement of the pictures of two lists of numbers; see `alike`. -> (C,)"""
        return alike(self.grey[one], self.grey[two], self.colour[one], self.colour[two])


class Groups:
    """Things joined step by step (union-find): `find` names the smallest member of the group that one is in."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, each: int) -> int:
        """The group's smallest member."""
        while self._parent[each] != each:
            self._parent[each] = self._parent[self._parent[each]]
            each = self._parent[each]
        return each

    def join(self, one: int, two: int) -> None:
        """Makes one group of two."""
        low, high = sorted((self.find(one), self.find(two)))
        self._parent[high] = low

    def members(self) -> list[list[int]]:
        """The groups of two or more, each in order, the first of the largest first."""
        found: dict[int, list[int]] = {}
        for each in range(len(self._parent)):
            found.setdefault(self.find(each), []).append(each)
        return sorted((group for group in found.values() if len(group) > 1), key=lambda group: (-len(group), group[0]))


def near_pairs(looks: Looks, among: np.ndarray) -> Iterator[tuple[int, int, float]]:
    """Pairs of near-duplicates among the pictures of these numbers, with their agreement.

    Of pictures that look alike to the hash only one leads and is compared with others, so that groups come out
    connected and not with every pair. Flat pictures are left out: all of them look alike.
    Multi-index hashing: Norouzi, Punjani and Fleet 2012.
    """
    among = among[looks.deviation[among] >= FLAT]
    leaders: list[int] = []
    for same in _of_one_hash(looks.hashes, among):
        yield from _led(looks, same, leaders)
    leading = np.array(leaders, dtype=np.int64)
    for place_one, place_two in _candidates(looks.hashes[leading]):
        one, two = leading[place_one], leading[place_two]
        agreement = looks.agree(one, two)
        for place in np.flatnonzero(agreement >= AGREE):
            yield int(min(one[place], two[place])), int(max(one[place], two[place])), float(agreement[place])


def _of_one_hash(hashes: np.ndarray, among: np.ndarray) -> Iterator[np.ndarray]:
    order = among[np.argsort(hashes[among], kind="stable")]
    cuts = np.flatnonzero(np.diff(hashes[order])) + 1
    return iter(np.split(order, cuts)) if len(order) else iter(())


def _led(looks: Looks, same: np.ndarray, leaders: list[int]) -> Iterator[tuple[int, int, float]]:
    """Pairs among pictures of one hash; `leaders` gets the first of each kind, at most `_LEADERS` of them."""
    for _ in range(_LEADERS):
        if len(same) == 0:
            return
        leader, rest = int(same[0]), same[1:]
        leaders.append(leader)
        if len(rest) == 0:
            return
        agreement = looks.agree(np.full(len(rest), leader), rest)
        for place in np.flatnonzero(agreement >= AGREE):
            yield leader, int(rest[place]), float(agreement[place])
        same = rest[agreement < AGREE]


def _candidates(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places (C,), (C,) of hashes that differ in 1 to `RADIUS` bits, by bands of 16 bits that differ in one at most."""
    bands = hashes.view(np.uint16).reshape(-1, BANDS)
    flips = np.array([0, *(1 << bit for bit in range(BITS))], dtype=np.uint16)
    for band in range(BANDS):
        values = bands[:, band]
        order = np.argsort(values, kind="stable")
        begins = np.searchsorted(values[order], np.arange((1 << BITS) + 1))
        for flip in flips:
            wanted = (values ^ flip).astype(np.int64)
            first, last = begins[wanted], begins[wanted + 1]
            last = np.where(last - first > _CROWD, first, last)
            yield from _joined(hashes, order, first, last)


def _joined(
    hashes: np.ndarray, order: np.ndarray, first: np.ndarray, last: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each place with the entries `first` to `last` of the order, in blocks, those that are near enough, once each."""
    counts = last - first
    blocks = np.searchsorted(np.cumsum(counts), np.arange(0, counts.sum(), _CANDIDATES_AT_ONCE), "left")
    for start, end in pairwise([*blocks, len(counts)]):
        count = counts[start:end]
        one = np.repeat(np.arange(start, end), count)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        two = order[np.repeat(first[start:end], count) + within]
        one, two = one[one < two], two[one < two]
        apart = distance(hashes[one], hashes[two])
        near = (apart > 0) & (apart <= RADIUS)
        if near.any():
            yield one[near], two[near]
