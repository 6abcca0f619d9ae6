"""New and changed pictures read, embedded and committed block by block; what is known by its content is not embedded.

One process writes, wherever the blocks are read.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from amodal.core.progress import clock, progress
from amodal.search.blocks import Block, BlockReader, Cluster, Made, ReadBlock
from amodal.search.embedder import Embedder
from amodal.search.store import Store
from amodal.search.stored import StoredPicture
from amodal.search.survey import Entry, Survey

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
    given: vectors that are known, by content; cluster: reads the blocks in place of this process; replaced: contents
    whose place others have taken.
    """

    store: Store
    table: str
    found: Survey
    known: Mapping[str, tuple[str, str]]
    counts: Counts
    embedder: Callable[[], Embedder]
    given: Callable[[], Mapping[str, np.ndarray]]
    cluster: Cluster | None = None
    replaced: set[str] = field(default_factory=set)
    _rows_of: Counter[str] = field(default_factory=Counter)

    def fill(self, wanted: Sequence[str], *, place: bool, say: Callable[[str], None]) -> Broken:
        """Reads these paths and commits them. place: keep positions; -> what could not be read"""
        if not wanted:
            return {}
        columns = self.store.attribute_columns(self.table, self.found.attributes)
        reader, broken = BlockReader(columns, self.store.columns(self.table), place), Broken()
        self._rows_of = Counter(content for mark, content in self.store.known(self.table).values() if mark)
        with progress("Indexing", len(wanted), "pictures") as bar:
            done, count, started = 0, len(wanted), time.monotonic()
            while wanted:
                again: list[str] = []
                for read in self._read(reader, _blocks(self.found, wanted)):
                    again += self._commit(read)
                    for path, reason in read.broken.items():  # without a mark it is tried again by every run
                        broken[path] = ("" if path in read.later else self.found.marks[path], reason)
                    done += len(read.rows) + len(read.broken)
                    bar.update(len(read.rows) + len(read.broken))
                    if done == FIRST < count and self.cluster is None and self.counts.embedded:
                        left = clock((count - done) * (time.monotonic() - started) / done)
                        say(
                            f"{count:,} pictures to read: {done / (time.monotonic() - started):,.0f}/s, about {left} "
                            "left; a run that is stopped goes on where it was"
                        )
                wanted = again
        return broken

    def _read(self, reader: BlockReader, blocks: Iterator[Block]) -> Iterator[ReadBlock]:
        if self.cluster is None:
            return (reader(block, self.embedder, self._rows_of, self.given) for block in blocks)
        return self.cluster.read(
            reader,
            blocks,
            source=self.found.source,
            fingerprint=self.store.stamp(self.table).fingerprint,
            known=self._rows_of,
            given=self.given(),
        )

    def _commit(self, read: ReadBlock) -> list[str]:
        """A block: thumbnails first, then its rows in one commit.

        -> paths to be read again: their contents were known when they were read and are not there any more
        """
        new = {content: made for content, made in read.made.items() if content not in self._rows_of}
        others = {row["content"] for row in read.rows.values()} - new.keys()
        there = self.store.by_content(self.table, others & self._rows_of.keys())
        self.store.thumbnails.keep({content: made.thumbnail for content, made in new.items()})
        rows = []
        for path, row in read.rows.items():
            content = row["content"]
            if content in new or content in there:
                decided = self._decided(content, new[content]) if content in new else there[content]
                own = {"source": self.found.source, "mark": self.found.marks[path]}
                rows.append({**row, **decided, **own})
        old = [row["path"] for row in rows if row["path"] in self.known]
        if rows:
            self.store.put(self.table, rows, known=bool(old))
        self.replaced |= {self.known[path][1] for path in old}
        self._rows_of.update(row["content"] for row in rows)
        for content in (self.known[path][1] for path in old):
            self._rows_of[content] -= 1
            if not self._rows_of[content]:
                del self._rows_of[content]
        self.counts.changed += len(old)
        self.counts.added += len(rows) - len(old)
        self.counts.known += sum(row["content"] not in new for row in rows)
        self.counts.embedded += sum(made.vector is not None for made in new.values())
        return [path for path, row in read.rows.items() if row["content"] not in new and row["content"] not in there]

    def _decided(self, content: str, made: Made) -> dict[str, Any]:
        vector_D = self.given()[content] if made.vector is None else made.vector
        return {"vector": vector_D.astype(np.float16), "look": made.look}


def _blocks(found: Survey, wanted: Sequence[str]) -> Iterator[Block]:
    """The first few, then blocks of as many pictures and bytes as a commit takes."""
    block: dict[str, Entry] = {}
    size, first = 0, True
    for path in wanted:
        block[path] = found.entry(path)
        size += _size(block[path])
        if len(block) >= (FIRST if first else A_COMMIT) or size >= BYTES_A_COMMIT:
            yield block
            block, size, first = {}, 0, False
    if block:
        yield block


def _size(entry: Entry) -> int:
    if isinstance(entry.picture, StoredPicture):
        return entry.picture.size
    path = getattr(entry.picture, "path", None)
    try:
        return 0 if path is None else os.path.getsize(path)
    except OSError:
        return 0
