"""The concepts that scenes are made of: their names, which may stand together, and what training never shows.

P concepts; a `(P, P)` table of a relation has the thing said first in its rows.
"""

import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from PIL import Image

from amodal.data.bundled import STYLES, load_emojis, load_languages, load_pictures
from amodal.data.scenes.nouns import COLOUR_WORDS, is_countable

HELD_OUT_SHARE = 0.1
"""Of pairs of concepts, of (concept, count) with two to four, and of (pair, relation): the share kept from training."""

MOST_THINGS = 6
HELD_RELATIONS = ("left of", "above", "bigger than")
"""Relations kept from training in one direction for some pairs; "right of" and "below" are the same two turned."""

_ALIKE = 0.93
_SAID_WITH_KEYWORDS = ("en", "de", "es")
_SMALL_WORDS = frozenset(["a", "of", "with", "without", "on", "in", "the"])


@dataclass(frozen=True, eq=False)
class Pool:
    """Every concept that scenes may hold, in the order of the bundled set.

    ids, names (English), split ("train", "validation", "test") and pictures (style -> WebP bytes) of each; tintable
    (P,): its name has no colour; clash (P, P): the two may not stand in one scene; held_pairs (P, P), held_counts
    (P, 7) and held_relations (relation -> (P, P)): kept from training.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    split: tuple[str, ...]
    pictures: tuple[Mapping[str, bytes], ...]
    tintable: np.ndarray
    clash: np.ndarray
    held_pairs: np.ndarray
    held_counts: np.ndarray
    held_relations: Mapping[str, np.ndarray]
    _named: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def names_in(self, language: str) -> tuple[str, ...]:
        """The name of each concept in `language` (a CLDR tag); the English one where that language has none.

        Raises UsageError for a language that the bundled set does not have.
        """
        if language not in self._named:
            found = {row["emoji"]: row["name"] for row in load_languages(language).to_pylist()}
            named = (found.get(id_, name) for id_, name in zip(self.ids, self.names, strict=True))
            self._named[language] = self.names if language == "en" else tuple(named)
        return self._named[language]

    def members(self, split: str) -> list[int]:
        """The places of the concepts of one bundled split."""
        return [place for place, side in enumerate(self.split) if side == split]


@lru_cache(maxsize=1)
def load_pool() -> Pool:
    """The pool of the bundled set; read once a process."""
    emojis = [row for row in load_emojis().to_pylist() if row["base"] and _usable(row)]
    ids = tuple(row["emoji"] for row in emojis)
    names = tuple(row["name"] for row in emojis)
    pictures: dict[str, dict[str, bytes]] = {id_: {} for id_ in ids}
    for row in load_pictures(STYLES).to_pylist():
        if row["emoji"] in pictures:
            pictures[row["emoji"]][row["style"]] = row["image"]
    shown = tuple(pictures[id_] for id_ in ids)
    return Pool(
        ids=ids,
        names=names,
        split=tuple(row["split"] for row in emojis),
        pictures=shown,
        tintable=np.array([not COLOUR_WORDS & set(name.split()) for name in names]),
        clash=_name_clashes(ids, names) | _look_alikes(shown),
        held_pairs=_held_pairs(ids),
        held_counts=_held_counts(ids),
        held_relations={relation: _held_relation(ids, relation) for relation in HELD_RELATIONS},
    )


def _usable(row: Mapping[str, str]) -> bool:
    return is_countable(row["name"], row["group"] or "", row["subgroup"] or "")


def _name_clashes(ids: tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    """Pairs that share a name in any language, a word of the English name, or of which one may be called the other."""
    import pyarrow.parquet as pq

    from amodal.data.bundled import FOLDER

    place = {id_: index for index, id_ in enumerate(ids)}
    rows = pq.read_table(FOLDER / "languages.parquet", filters=[("emoji", "in", list(ids))]).to_pylist()
    called: dict[tuple[str, str], set[int]] = defaultdict(set)
    for index, name in enumerate(names):
        for word in set(name.casefold().split()) - _SMALL_WORDS:
            called["a word", word].add(index)
    for row in rows:
        called[row["language"], row["name"].casefold()].add(place[row["emoji"]])
    clash = np.eye(len(ids), dtype=bool)
    for together in called.values():
        _mark(clash, together, together)
    for row in rows:
        if row["language"] in _SAID_WITH_KEYWORDS:
            for word in row["keywords"] or ():
                _mark(clash, called.get((row["language"], word.casefold()), ()), {place[row["emoji"]]})
    return clash


def _mark(clash: np.ndarray, some: Iterable[int], others: Iterable[int]) -> None:
    cells = np.ix_(list(some), list(others))
    clash[cells] = True
    clash.T[cells] = True


def _look_alikes(pictures: tuple[Mapping[str, bytes], ...]) -> np.ndarray:
    """Pairs whose pictures, 16 px small on grey, correlate above `_ALIKE` in any pairing of styles. -> (P, P)"""
    owners = [index for index, styles in enumerate(pictures) for _ in styles]
    small = np.stack([_small(content) for styles in pictures for content in styles.values()])
    small -= small.mean(axis=1, keepdims=True)
    small /= np.linalg.norm(small, axis=1, keepdims=True) + 1e-6
    alike = np.zeros((len(pictures), len(pictures)), dtype=bool)
    one, other = np.nonzero(small @ small.T > _ALIKE)
    where = np.array(owners)
    alike[where[one], where[other]] = True
    return alike


def _small(content: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(content)).convert("RGBA")
    ground = Image.new("RGBA", picture.size, (128, 128, 128, 255))
    return np.asarray(Image.alpha_composite(ground, picture).convert("RGB").reduce(4), dtype=np.float32).ravel()


def _held_pairs(ids: tuple[str, ...]) -> np.ndarray:
    number = _numbers(ids)
    return _chosen(_mixed(number[:, None] + number[None, :])) & ~np.eye(len(ids), dtype=bool)


def _held_counts(ids: tuple[str, ...]) -> np.ndarray:
    """(P, 7): at most one number from two to four of a concept, so that training shows several of each."""
    hashed = _mixed(_numbers([f"count {id_}" for id_ in ids]))
    held = np.zeros((len(ids), MOST_THINGS + 1), dtype=bool)
    held[np.arange(len(ids)), 2 + (hashed % np.uint64(3)).astype(int)] = _chosen(hashed, 3 * HELD_OUT_SHARE)
    return held


def _held_relation(ids: tuple[str, ...], relation: str) -> np.ndarray:
    """(P, P): training never shows row RELATION column; of one pair at most one direction is held."""
    number = _numbers(ids)
    hashed = _mixed((number[:, None] + number[None, :]) ^ _numbers([relation])[0])
    smaller_is_row = number[:, None] < number[None, :]
    bit = (hashed & np.uint64(1)) == 1
    return _chosen(hashed) & (bit == smaller_is_row) & ~np.eye(len(ids), dtype=bool)


def _numbers(names: Iterable[str]) -> np.ndarray:
    """A 64-bit number for each name, the same whatever else is in the set."""
    digests = (hashlib.sha256(name.encode()).digest() for name in names)
    return np.array([int.from_bytes(digest[:8], "big") for digest in digests], dtype=np.uint64)


def _mixed(number: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele et al. 2014), element by element."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


def _chosen(hashed: np.ndarray, share: float = HELD_OUT_SHARE) -> np.ndarray:
    return (hashed >> np.uint64(32)).astype(np.float64) / 2**32 < share
