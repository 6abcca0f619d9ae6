"""What every reader gives: a `Table` of `Row`s, and the `SkipLog` of what could not be used and why."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from amodal.core.errors import DataError
from amodal.data.annotations import Annotations
from amodal.data.pictures import PictureRef

MAX_SKIPPED = 0.05
"""The share of rows that may be skipped before reading fails (`data.max_skipped` in a recipe)."""

_SHOWN = 5
_SAME_SPLIT = ({"val", "valid", "validation", "dev"}, {"train", "training"}, {"test", "testing"})


@dataclass(frozen=True, kw_only=True)
class Row:
    """One picture with its captions.

    key: where it came from ("captions.csv:12", "cat/01.jpg"), for messages; captions: never empty;
    pair: rows with the same pair are positives of each other; attributes: label, language, split, other columns;
    annotations: things, phrase links, regions and questions, where the source has them and they were asked for.
    """

    key: str
    picture: PictureRef
    captions: tuple[str, ...]
    pair: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    annotations: Annotations | None = None

    def __post_init__(self) -> None:
        if not self.captions:
            raise ValueError(f"row {self.key} has no caption; a row needs at least one")

    def said(self, which: str) -> tuple[str, ...]:
        """Its captions: "all" of them, or the "first" one alone."""
        return self.captions if which == "all" else self.captions[:1]


class Skipped(NamedTuple):
    """One thing that was not used: where it stands and why."""

    key: str
    reason: str


class SkipLog:
    """What was skipped, first while tables are read, later while pictures are decoded.

    The same key with the same reason counts once, so a broken picture met in every epoch stays one. All splits of a
    table share one log, measured against the whole source: `total` is how many rows the reader counted in it.
    """

    def __init__(self, limit: float = MAX_SKIPPED) -> None:
        if not 0 <= limit <= 1:
            raise DataError(f"data.max_skipped is {limit}; it is a share: give a number from 0 to 1")
        self.limit, self.total = limit, 0
        self._entries: dict[Skipped, None] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, key: str, reason: str) -> None:
        """Notes that `key` was left out and why. The part of the reason before ": " names its kind."""
        self._entries[Skipped(key, reason)] = None

    @property
    def entries(self) -> tuple[Skipped, ...]:
        """What was skipped, in the order met."""
        return tuple(self._entries)

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of reason occurred, the most frequent first."""
        return dict(Counter(entry.reason.partition(": ")[0] for entry in self._entries).most_common())

    def check(self) -> None:
        """Raises DataError when more than `limit` of the `total` rows were skipped."""
        if len(self) <= self.limit * self.total:
            return
        first = "".join(f"\n  {key}: {reason}" for key, reason in self.entries[:_SHOWN])
        more = f"\n  and {len(self) - _SHOWN} more" if len(self) > _SHOWN else ""
        raise DataError(
            f"{len(self)} of {self.total} rows cannot be used ({len(self) / max(self.total, 1):.1%}; "
            f"the limit is {self.limit:.1%}):{first}{more}\nMend them, or raise the limit "
            "(data.max_skipped in a recipe, --max-skipped of encode)"
        )

    def to_json(self) -> dict[str, object]:
        """For reports: the number, the limit, the kinds, and every entry."""
        entries = [entry._asdict() for entry in self._entries]
        return {"skipped": len(self), "limit": self.limit, "counts": self.counts, "entries": entries}


@dataclass
class Table:
    """Rows read from one source.

    classes: the labels in order, where the source is labelled; captioned: whether the captions are the source's own.
    """

    name: str
    rows: list[Row]
    skipped: SkipLog = field(default_factory=SkipLog)
    classes: tuple[str, ...] | None = None
    captioned: bool = True

    def __post_init__(self) -> None:
        self.skipped.total = max(self.skipped.total, len(self.rows))  # a table put together by hand has no reader

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, name: str) -> "Table":
        """The rows whose `split` is `name`; val, valid, validation and dev are the same word. Raises DataError."""
        names = next((group for group in _SAME_SPLIT if name.lower() in group), {name.lower()})
        rows = [row for row in self.rows if row.attributes.get("split", "").lower() in names]
        if not rows:
            found = sorted({row.attributes.get("split", "") for row in self.rows} - {""})
            has = f"its splits are {', '.join(found)}" if found else "it has no split column; make one with with_split"
            raise DataError(f"{self.name} has no split {name!r}: {has}")
        return replace(self, rows=rows)

    def with_split(self, seed: int, shares: Mapping[str, float]) -> "Table":
        """Every row with a `split`; a table that has splits already is returned as it is.

        Random but the same for the same seed and rows: units are ordered by their hash and dealt out by `shares`
        (of units, at least one each). A unit is a pair, so that no caption stands on both sides; in a labelled table
        (`classes`), where a pair is a whole class, it is a row. Raises DataError if only some rows have a split.
        """
        without = [row for row in self.rows if not row.attributes.get("split")]
        if not without:
            return self
        if len(without) < len(self.rows):
            raise DataError(
                f"{self.name}: {without[0].key} has no split while other rows have; fill the column or drop it"
            )
        units = [row.pair if self.classes is None else row.key for row in self.rows]
        side = _deal(units, seed, shares, self.name)
        rows = [
            replace(row, attributes={**row.attributes, "split": side[unit]})
            for row, unit in zip(self.rows, units, strict=True)
        ]
        return replace(self, rows=rows)

    def fingerprint(self) -> str:
        """SHA-256 over keys, captions, pairs, attributes, annotations and what is cheaply known of each picture.

        A picture file counts by its path relative to the folder that holds all of them and its size, a span by
        its place, bytes by their hash. Moving the data changes nothing; a file overwritten by another of exactly
        the same size goes unnoticed.
        """
        base = _common_folder(row.picture for row in self.rows)
        digest = hashlib.sha256()
        for row in self.rows:
            said = [row.key, row.captions, row.pair, sorted(row.attributes.items()), row.picture.identity(base)]
            said += [] if row.annotations is None else [row.annotations]
            digest.update(json.dumps(said, ensure_ascii=True).encode() + b"\n")
        return digest.hexdigest()


def finished_table(
    name: str, rows: list[Row], skipped: SkipLog, total: int, classes: Sequence[str] | None = None
) -> Table:
    """The table, once it is sure that not too much was skipped and something is left. Raises DataError."""
    skipped.total = total
    skipped.check()
    if not rows:
        raise DataError(f"{name} holds no usable row; a table needs at least one picture with a caption")
    return Table(name, rows, skipped, None if classes is None else tuple(classes))


def caption_pair(captions: Iterable[str]) -> str:
    """The pair of a picture known only by its captions: the same set of captions, the same pair."""
    words = sorted({" ".join(caption.split()).casefold() for caption in captions})
    return hashlib.sha256("\x1f".join(words).encode()).hexdigest()[:16]


def _deal(units: Iterable[str], seed: int, shares: Mapping[str, float], name: str) -> dict[str, str]:
    """unit -> split name: units in the order of their hash, cut at the cumulated shares."""
    total = sum(shares.values())
    if not shares or min(shares.values()) <= 0 or abs(total - 1) > 1e-6:
        raise DataError(f"the shares of the splits are {dict(shares)}; give positive numbers that sum to 1")
    ordered = sorted(set(units), key=lambda unit: hashlib.sha256(f"{seed}\x1f{unit}".encode()).digest())
    if len(ordered) < len(shares):
        raise DataError(f"{name} has {len(ordered)} distinct pairs, too few for {len(shares)} splits; add data")
    side: dict[str, str] = {}
    start, cumulated = 0, 0.0
    for index, (split, share) in enumerate(shares.items()):
        cumulated += share
        later = len(shares) - index - 1
        end = min(max(round(cumulated * len(ordered)), start + 1), len(ordered) - later)
        side.update(dict.fromkeys(ordered[start:end], split))
        start = end
    return side


def _common_folder(pictures: Iterable[PictureRef]) -> Path | None:
    folders = {path.absolute().parent for picture in pictures if (path := getattr(picture, "path", None)) is not None}
    try:
        return Path(os.path.commonpath(folders)) if folders else None
    except ValueError:  # on different drives
        return None
