"""New and changed pictures read, embedded and committed part by part; what is known by its content is not embedded."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from amodal.core.progress import clock, progress
from amodal.data.pictures import BrokenPicture
from amodal.data.rows import Row, SkipLog
from amodal.search.embedder import Embedder
from amodal.search.rows import packed, row_of
from amodal.search.store import Store
from amodal.search.survey import Entry, Survey
from amodal.search.thumbnails import ReadPicture

A_COMMIT, BYTES_A_COMMIT = 256, 256 << 20
FIRST = 16
"""Pictures that are read first, to tell how long the others will take."""

Broken = dict[str, tuple[str, str]]
"""path -> (mark, reason) of what could not be read."""


@dataclass
class Counts:
    """See `Updated`."""

    added: int = 0
    changed: int = 0
    known: int = 0
    embedded: int = 0
    deleted: int = 0


@dataclass
class Filling:
    """A source's pictures on their way into a table.

    known: path -> (mark, content) of those that are there; counts: counted on; embedder: opened when something is new;
    given: vectors that are known, by content; replaced: contents whose place others have taken.
    """

    store: Store
    table: str
    found: Survey
    known: Mapping[str, tuple[str, str]]
    counts: Counts
    embedder: Callable[[], Embedder]
    given: Callable[[], Mapping[str, np.ndarray]]
    replaced: set[str] = field(default_factory=set)

    def fill(self, wanted: Sequence[str], *, place: bool, say: Callable[[str], None]) -> Broken:
        """Reads these paths and commits them. place: keep positions; -> what could not be read"""
        if not wanted:
            return {}
        columns = self.store.attribute_columns(self.table, self.found.attributes)
        contents, broken = self.store.contents(self.table), Broken()
        with progress("Indexing", len(wanted), "pictures") as bar:
            done, started = 0, time.monotonic()
            for part in _parts(self.found, wanted):
                self._commit(part, columns, contents, broken, place)
                done += len(part)
                bar.update(len(part))
                if done == FIRST < len(wanted):
                    rate = done / max(time.monotonic() - started, 1e-9)
                    left = clock((len(wanted) - done) / rate)
                    say(
                        f"{len(wanted):,} pictures to read: {rate:,.0f}/s, about {left} left; a run that is stopped "
                        "goes on where it was"
                    )
        return broken

    def _commit(
        self, part: Sequence[str], columns: Mapping[str, str], contents: set[str], broken: Broken, place: bool
    ) -> None:
        """Some pictures: thumbnails first, then their rows in one commit."""
        read = self._read(part, broken)
        there = self.store.by_content(self.table, {content for content, _, _ in read.values()} & contents)
        fresh = {content: picture for content, _, picture in read.values() if content not in there}
        made, reasons = self._made_of(fresh)
        self.store.thumbnails.keep({content: thumbnail for content, (_, thumbnail) in made.items()})
        schema, rows = self.store.columns(self.table), []
        for path, (content, entry, picture) in read.items():
            if content in reasons:
                broken[path] = self.found.marks[path], reasons[content]
                continue
            by_content = made[content][0] if content in made else there[content]
            own = {"source": self.found.source, "mark": self.found.marks[path], "content": content}
            rows.append({**row_of(path, entry, picture.data, columns, schema, place=place), **by_content, **own})
        old = [row["path"] for row in rows if row["path"] in self.known]
        if rows:
            self.store.put(self.table, rows, known=bool(old))
        self.replaced |= {self.known[path][1] for path in old}
        self.counts.changed += len(old)
        self.counts.added += len(rows) - len(old)
        self.counts.known += sum(row["content"] not in made for row in rows)
        contents |= made.keys()

    def _read(self, part: Sequence[str], broken: Broken) -> dict[str, tuple[str, Entry, ReadPicture]]:
        """path -> its content's name, its entry and its bytes."""
        read = {}
        for path in part:
            entry = self.found.entry(path)
            try:
                picture = ReadPicture(entry.picture.content())
            except BrokenPicture as error:
                broken[path] = self.found.marks[path], str(error)
            else:
                read[path] = hashlib.sha256(picture.data).hexdigest(), entry, picture
        return read

    def _made_of(
        self, fresh: Mapping[str, ReadPicture]
    ) -> tuple[dict[str, tuple[dict[str, Any], bytes]], dict[str, str]]:
        """content -> (vector and look, thumbnail) of new contents; content -> reason of those that cannot be read."""
        if not fresh:
            return {}, {}
        skipped, known = SkipLog(limit=1.0), self.given()
        rows = [
            Row(key=content, picture=picture, captions=(content,), pair=content)
            for content, picture in fresh.items()
            if content not in known
        ]
        vector_ND, kept = self.embedder().images(rows, skipped) if rows else (np.empty((0, 0)), [])
        vectors = {rows[number].key: vector_D for number, vector_D in zip(kept, vector_ND, strict=True)}
        self.counts.embedded += len(kept)
        reasons = {entry.key: entry.reason for entry in skipped.entries}
        made = {}
        for content in fresh.keys() - reasons.keys():
            try:
                thumbnail, look = fresh[content].kept()
            except BrokenPicture as error:  # of a vector that was given
                reasons[content] = str(error)
                continue
            vector_D = vectors[content] if content in vectors else known[content]
            made[content] = {"vector": vector_D.astype(np.float16), "look": packed(look)}, thumbnail
        return made, reasons


def _parts(found: Survey, wanted: Sequence[str]) -> Iterator[list[str]]:
    """The first few, then parts of as many pictures and bytes as a commit takes."""
    part: list[str] = []
    size, first = 0, True
    for path in wanted:
        part.append(path)
        size += _size(found.entry(path))
        if len(part) >= (FIRST if first else A_COMMIT) or size >= BYTES_A_COMMIT:
            yield part
            part, size, first = [], 0, False
    if part:
        yield part


def _size(entry: Entry) -> int:
    path = getattr(entry.picture, "path", None)
    try:
        return 0 if path is None else os.path.getsize(path)
    except OSError:
        return 0
