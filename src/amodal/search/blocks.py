"""A block of pictures read: bytes, rows, vectors, looks and thumbnails. The same code here and on a cluster.

D width of the joint space
"""

import hashlib
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from amodal.data.pictures import BrokenPicture, UnreadPicture, check_format
from amodal.data.rows import Row, SkipLog
from amodal.search.embedder import Embedder
from amodal.search.rows import packed, row_of
from amodal.search.survey import Entry
from amodal.search.thumbnails import ReadPicture

if TYPE_CHECKING:
    import pyarrow as pa

Block = Mapping[str, Entry]
"""path -> picture, of what is read, embedded and committed together."""


class Made(NamedTuple):
    """What a content decides. vector: float16 (D,), None for one that is given; look: see `packed`; thumbnail: JPEG."""

    vector: np.ndarray | None
    look: bytes
    thumbnail: bytes


class ReadBlock(NamedTuple):
    """rows: path -> its row, but for what its content decides; made: content -> that, of contents that were not known;
    broken: path -> why it cannot be read; later: those of them that may be whole, to be tried again."""

    rows: Mapping[str, dict[str, Any]]
    made: Mapping[str, Made]
    broken: Mapping[str, str]
    later: Collection[str]


@dataclass(frozen=True)
class BlockReader:
    """Reads blocks of one source for one table; travels to other machines. columns, schema and place: see `row_of`."""

    columns: Mapping[str, str]
    schema: "pa.Schema"
    place: bool

    def __call__(
        self,
        block: Block,
        embedder: Callable[[], Embedder],
        known: Container[str],
        given: Callable[[], Container[str]],
    ) -> ReadBlock:
        """embedder: called when a content is new; known: contents of which nothing has to be made; given: those whose
        vectors are known, called when a content is new."""
        read, broken, later = _read(block)
        fresh = {content: picture for content, picture in read.values() if content not in known}
        made, reasons = _make(fresh, embedder, given) if fresh else ({}, {})
        broken |= {path: reasons[content] for path, (content, _) in read.items() if content in reasons}
        rows = {
            path: {
                **row_of(path, block[path], picture.data, self.columns, self.schema, place=self.place),
                "content": content,
            }
            for path, (content, picture) in read.items()
            if content not in reasons
        }
        return ReadBlock(rows, made, broken, later)


class Cluster(Protocol):
    """Other machines that read blocks."""

    def read(
        self,
        reader: BlockReader,
        blocks: Iterable[Block],
        *,
        source: str,
        fingerprint: str,
        known: Collection[str],
        given: Collection[str],
    ) -> Iterator[ReadBlock]:
        """Every block read, each once, in any order. source: where the pictures lie; fingerprint: of the model;
        known, given: see `BlockReader`. Raises DataError and UsageError."""
        ...


def _read(block: Block) -> tuple[dict[str, tuple[str, ReadPicture]], dict[str, str], set[str]]:
    """path -> its content's name and its bytes; path -> why there are none; those of them that may be whole."""
    read, broken, later = {}, {}, set()
    for path, entry in block.items():
        try:
            picture = ReadPicture(entry.picture.content())
            check_format(picture.data)
        except BrokenPicture as error:
            broken[path] = str(error)
            if isinstance(error, UnreadPicture):
                later.add(path)
        else:
            read[path] = hashlib.sha256(picture.data).hexdigest(), picture
    return read, broken, later


def _make(
    fresh: Mapping[str, ReadPicture], embedder: Callable[[], Embedder], given: Callable[[], Container[str]]
) -> tuple[dict[str, Made], dict[str, str]]:
    """content -> what it decides; content -> why it cannot be read."""
    skipped, with_vector = SkipLog(limit=1.0), given()
    rows = [
        Row(key=content, picture=picture, captions=(content,), pair=content)
        for content, picture in fresh.items()
        if content not in with_vector
    ]
    vector_ND, kept = embedder().images(rows, skipped) if rows else (np.empty((0, 0)), [])
    vectors = {rows[number].key: vector_D for number, vector_D in zip(kept, vector_ND, strict=True)}
    reasons, made = {entry.key: entry.reason for entry in skipped.entries}, {}
    for content in fresh.keys() - reasons.keys():
        try:
            thumbnail, look = fresh[content].kept()
        except BrokenPicture as error:  # of a vector that is given
            reasons[content] = str(error)
            continue
        vector_D = vectors[content].astype(np.float16) if content in vectors else None
        made[content] = Made(vector_D, packed(look), thumbnail)
    return made, reasons
