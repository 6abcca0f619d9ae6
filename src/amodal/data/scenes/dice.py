"""Cheap draws for one scene, named by what they are for; the stream is the same in every process."""

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


class Dice:
    """Draws that depend only on the names given. All of them come from `random()`, whose stream Python guarantees."""

    def __init__(self, *names: int | str) -> None:
        digest = hashlib.sha256(repr(names).encode()).digest()
        self.share = random.Random(int.from_bytes(digest[:8], "big")).random

    def between(self, low: float, high: float) -> float:
        """A number from `low` up to `high`."""
        return low + (high - low) * self.share()

    def below(self, count: int) -> int:
        """A whole number from 0 up to `count` - 1."""
        return int(self.share() * count)

    def coin(self, chance: float = 0.5) -> bool:
        """True with this chance."""
        return self.share() < chance

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items, each equally likely."""
        return items[int(self.share() * len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """The items in a random order."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(len(left))]
