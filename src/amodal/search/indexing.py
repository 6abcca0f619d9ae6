"""`update`: an index brought up to what its sources hold. Only new and changed pictures are opened, only new contents
are embedded; every step is a commit, so that a run killed anywhere leaves what answers, and the next one goes on."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from amodal.core.errors import DataError
from amodal.core.files import only_one
from amodal.core.progress import clock, progress
from amodal.data.exif import read_exif
from amodal.data.looks import Look
from amodal.data.pictures import BrokenPicture, FileRef
from amodal.data.rows import Row, SkipLog, Skipped
from amodal.search.approximate import GROWN, QUERIES, choose
from amodal.search.embedder import Embedder
from amodal.search.seen import Seen, forget_seen, keep_seen, read_seen
from amodal.search.store import Settings, Store
from amodal.search.survey import Entry, Survey, as_number, survey
from amodal.search.thumbnails import ReadPicture

A_COMMIT, BYTES_A_COMMIT = 256, 256 << 20
FIRST = 16
"""Pictures that are embedded to tell how long the others will take."""


@dataclass(frozen=True, kw_only=True)
class Updated:
    """What an update did. embedded: contents that went through the model; known: new or changed paths whose content
    was known, as that of a moved file; away: sources and folders whose pictures were kept though they are not there.
    """

    version: int
    pictures: int
    added: int
    changed: int
    known: int
    embedded: int
    deleted: int
    skipped: tuple[Skipped, ...]
    away: tuple[str, ...]

    @property
    def said(self) -> str:
        """In a few words."""
        if not (self.added or self.changed or self.deleted):
            return "nothing changed"
        counts = {"new": self.added, "changed": self.changed, "deleted": self.deleted, "known by content": self.known}
        return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        plain = asdict(self)
        return {**plain, "skipped": [{"path": path, "reason": why} for path, why in self.skipped]}


@dataclass
class _Counts:
    added: int = 0
    changed: int = 0
    known: int = 0
    embedded: int = 0
    deleted: int = 0


def update(
    where: str,
    source: str,
    embedder: Callable[[], Embedder],
    *,
    revision: str = "",
    place: bool | None = None,
    gone: bool = False,
    given: Callable[[Embedder], Mapping[str, np.ndarray]] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Updated:
    """Brings the index at `where` (a folder, or an object store's URL) up to what `source` holds, or makes it.

    embedder: called only when a model is needed; revision: of the model's files, as `Embedder.revision`, to tell a
    known model without opening it; place: keep positions of EXIF, None as before; gone: take what is not there for
    deleted though its whole folder or source is missing or empty; given: vectors that are known, by content.
    With another model a table of its own is built over all sources, and the old one answers until it is complete.
    Raises DataError, and UsageError without LanceDB.
    """
    seen = read_seen(where)
    kept = place if place is not None else bool(seen and seen.place)
    found = survey(source, place=kept)
    new = "://" not in where and not Path(where).exists()
    if new and not found.marks and not found.skipped:
        raise DataError(f"{source} holds no picture that can be read; give a folder of pictures or a caption table")
    if seen is not None and revision and _nothing_changed(seen, found, revision, kept):
        return _as_before(seen)
    Store(where, create=True)  # refuses a folder of something else before anything is written there
    with _alone(where):
        run = _Update(Store(where, create=True), embedder, revision, place, gone, given, say)
        return run(found.source)


def _nothing_changed(seen: Seen, found: Survey, revision: str, place: bool) -> bool:
    same = seen.revision == revision and seen.place == place and seen.marks.get(found.source) == found.marks
    return same and bool(found.marks)


def _as_before(seen: Seen) -> Updated:
    skipped = tuple(Skipped(each["path"], each["reason"]) for each in seen.answer["skipped"])
    nothing = dict.fromkeys(("added", "changed", "known", "embedded", "deleted"), 0)
    return Updated(**{**seen.answer, **nothing, "skipped": skipped, "away": tuple(seen.answer["away"])})


@contextmanager
def _alone(where: str) -> Iterator[None]:
    """One writer at a time, on one machine."""
    if "://" in where:
        yield
        return
    with only_one(Path(where) / "lock") as held:
        if not held:
            raise DataError(f"{where} is being changed by another process; wait for it, or stop it")
        yield


class _Update:
    """One run of `update`."""

    def __init__(
        self,
        store: Store,
        embedder: Callable[[], Embedder],
        revision: str,
        place: bool | None,
        gone: bool,
        given: Callable[[Embedder], Mapping[str, np.ndarray]] | None,
        say: Callable[[str], None],
    ) -> None:
        self.store, self.open, self.gone, self.given, self.say = store, embedder, gone, given, say
        self.counts, self.skipped, self.away = _Counts(), list[Skipped](), list[str]()
        self._embedder: Embedder | None = None
        self._replaced: set[str] = set()
        self._vectors: Mapping[str, np.ndarray] = {}
        self.before = store.growing()
        self.settings = self._settings(revision, place)
        self.marks: dict[str, Mapping[str, str]] = {}

    def __call__(self, source: str) -> Updated:
        """Updates one source, or all of them where the model is another one."""
        store = self.store
        forget_seen(store.where)
        sources = tuple(dict.fromkeys([*self.settings.sources, source]))
        table = store.pictures(self.settings)
        other = self.before is not None and self.before[0] != table
        if other:
            assert self.before is not None
            self.say(
                f"{self.settings.model} is another model than {self.before[1].model}, which made this index: all "
                f"{store.count(self.before[0]):,} pictures are embedded again, into a table of their own; the old one "
                "answers until it is complete"
            )
        for each in sources if other else (source,):
            self._source(table, each, other and each != source)
        return self._finish(table, sources, source)

    @property
    def embedder(self) -> Embedder:
        """The model, opened when it is first asked for."""
        if self._embedder is None:
            self._embedder = self.open()
            if self.given is not None:
                self._vectors = self.given(self._embedder)
        return self._embedder

    def _settings(self, revision: str, place: bool | None) -> Settings:
        before = None if self.before is None else self.before[1]
        if before is None or not revision or before.revision != revision:
            model = self.embedder
            made = Settings(
                model=model.name,
                origin=model.source,
                revision=model.revision,
                fingerprint=model.fingerprint,
                dimension=model.dimension,
            )
            if before is None:
                return replace(made, place=bool(place))
            same = before.fingerprint == made.fingerprint
            kept = before.approximate if same else None
            before = replace(made, place=before.place, sources=before.sources, approximate=kept)
        return before if place is None else replace(before, place=place)

    def _source(self, table: str, source: str, must_be_there: bool) -> None:
        found = survey(source, place=self.settings.place)
        store = self.store
        known = store.known(table, found.source)
        if must_be_there and not found.marks and not self.gone:
            raise DataError(
                f"{source} is not there, and its pictures must be embedded again with the new model; connect it, or "
                "leave it out with: amodal index "
                f"{source} --out {store.where} --gone"
            )
        skipped = store.skipped(found.source)
        old = {path: mark for path, (mark, _) in [*skipped.items(), *known.items()]}
        wanted = [path for path, mark in found.marks.items() if old.get(path) != mark]
        self.marks[found.source] = found.marks
        self._check_there(found, known)
        broken = self._embed(table, found, wanted, known)
        still = {
            path: each for path, each in skipped.items() if found.marks.get(path) == each[0] and path not in broken
        }
        store.keep_skipped(found.source, {**still, **broken})
        self.skipped += [Skipped(path, reason) for path, (_, reason) in sorted({**still, **broken}.items())]
        self.skipped += found.skipped
        absent = [path for path in known if path not in found.marks]
        if not self.gone:
            kept = [path for path in absent if found.may_be_away(path)]
            absent = sorted(set(absent) - set(kept))
            self._tell_away(found, kept)
        self.counts.deleted += len(absent)
        absent += [path for path in broken if path in known]
        self._drop_thumbnails(table, {(found.source, path) for path in absent})
        store.remove(table, found.source, absent)

    def _drop_thumbnails(self, table: str, gone: set[tuple[str, str]]) -> None:
        """Deletes the thumbnails of what will be on no row once these are gone: first, so that a kill leaves none."""
        rows = self.store.known(table) if gone or self.counts.changed else {}
        pairs = {tuple(key.split("\0")): content for key, (_, content) in rows.items()}
        going = {pairs[key] for key in gone} | self._replaced
        self.store.thumbnails.drop(going - {content for key, content in pairs.items() if key not in gone})

    def _check_there(self, found: Survey, known: Mapping[str, Any]) -> None:
        if not found.marks and not known and not found.skipped and not self.gone:
            raise DataError(
                f"{found.source} holds no picture that can be read; give a folder of pictures or a caption table"
            )

    def _tell_away(self, found: Survey, kept: Sequence[str]) -> None:
        if not kept:
            return
        place = found.source if not found.marks else ", ".join(sorted(each for each in found.hollow if each))
        self.away.append(place)
        self.say(
            f"{place} is missing or empty: perhaps it is away, so its {len(kept):,} pictures stay in the index; if "
            "they are deleted indeed, say so with --gone"
        )

    def _embed(
        self, table: str, found: Survey, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]
    ) -> dict[str, tuple[str, str]]:
        """Reads what is new or changed, and commits it part by part. -> what could not be read; see `Store.skipped`"""
        columns = self.store.attribute_columns(table, found.attributes)
        contents = self.store.contents(table)
        broken: dict[str, tuple[str, str]] = {}
        with progress("Indexing", len(wanted), "pictures") as bar:
            done, started = 0, time.monotonic()
            for part in _parts(found, wanted):
                self._commit(table, found, part, known, columns, contents, broken)
                done += len(part)
                bar.update(len(part))
                if done == FIRST < len(wanted):
                    rate = done / max(time.monotonic() - started, 1e-9)
                    left = clock((len(wanted) - done) / rate)
                    self.say(
                        f"{len(wanted):,} pictures to read: {rate:,.0f}/s, about {left} left; a run that is "
                        "stopped goes on where it was"
                    )
        return broken

    def _commit(
        self,
        table: str,
        found: Survey,
        part: Sequence[str],
        known: Mapping[str, tuple[str, str]],
        columns: Mapping[str, str],
        contents: set[str],
        broken: dict[str, tuple[str, str]],
    ) -> None:
        """Reads and embeds some pictures: thumbnails first, then their rows in one commit."""
        read: dict[str, tuple[str, Entry, ReadPicture]] = {}
        for path in part:
            entry = found.entry(path)
            try:
                picture = ReadPicture(entry.picture.content())
                read[path] = hashlib.sha256(picture.data).hexdigest(), entry, picture
            except BrokenPicture as error:
                broken[path] = found.marks[path], str(error)
        fresh = {content: picture for content, _, picture in read.values() if content not in contents}
        made, reasons = self._made_of(fresh)
        old = self.store.by_content(table, {content for content, _, _ in read.values()} & contents)
        self.store.thumbnails.keep({content: thumbnail for content, (_, thumbnail) in made.items()})
        rows = []
        for path, (content, entry, picture) in read.items():
            if content in reasons:
                broken[path] = found.marks[path], reasons[content]
                continue
            said = self._of_file(picture.data)
            by_content = made[content][0] if content in made else old[content]
            own: dict[str, Any] = {"source": found.source, "path": path, "mark": found.marks[path], "content": content}
            own |= {"date": _modified(entry), "file": _file_of(entry)}
            rows.append({**said, **_said(path, entry, columns), **by_content, **own})
            self.counts.known += content not in made
        if rows:
            schema = self.store.columns(table)
            self.store.put(table, [_fitting(row, schema) for row in rows], known=any(path in known for path in read))
        self._replaced |= {known[row["path"]][1] for row in rows if row["path"] in known}
        self.counts.changed += sum(row["path"] in known for row in rows)
        self.counts.added += sum(row["path"] not in known for row in rows)
        contents |= made.keys()

    def _made_of(
        self, fresh: Mapping[str, ReadPicture]
    ) -> tuple[dict[str, tuple[dict[str, Any], bytes]], dict[str, str]]:
        """content -> (vector and look, thumbnail) of new contents; content -> reason of those that cannot be read."""
        if not fresh:
            return {}, {}
        model, skipped = self.embedder, SkipLog(limit=1.0)
        given = {content: self._vectors[content] for content in fresh if content in self._vectors}
        rows = [
            Row(key=content, picture=picture, captions=(content,), pair=content)
            for content, picture in fresh.items()
            if content not in given
        ]
        vector_ND, kept = model.images(rows, skipped) if rows else (np.empty((0, 0)), [])
        vectors = {rows[number].key: vector_D for number, vector_D in zip(kept, vector_ND, strict=True)} | given
        self.counts.embedded += len(kept)
        reasons = {entry.key: entry.reason for entry in skipped.entries}
        made = {}
        for content, vector_D in vectors.items():
            try:
                thumbnail, look = fresh[content].kept()
            except BrokenPicture as error:  # of a vector that was given
                reasons[content] = str(error)
                continue
            made[content] = {"vector": vector_D.astype(np.float16), "look": packed(look)}, thumbnail
        return made, reasons

    def _of_file(self, data: bytes) -> dict[str, Any]:
        exif = read_exif(data, place=self.settings.place)
        return {
            "taken": exif.taken,
            "year": None if exif.taken is None else float(exif.taken.year),
            "camera": exif.camera or None,
            "latitude": exif.latitude,
            "longitude": exif.longitude,
        }

    def _finish(self, table: str, sources: tuple[str, ...], source: str) -> Updated:
        store, counts = self.store, self.counts
        last, settings = store.current(), replace(self.settings, sources=sources)
        changed = counts.added or counts.changed or counts.deleted or last is None or last.table != table
        if changed:
            store.tidy(table)
            settings = replace(settings, approximate=self._way(table, settings.approximate))
        done = Updated(
            version=0,
            pictures=store.count(table),
            **asdict(counts),
            skipped=tuple(self.skipped),
            away=tuple(self.away),
        )
        if changed or last is None or last.settings != settings:
            last = store.complete(table, done.said, settings)
        assert last is not None
        done = replace(done, version=last.number)
        if settings.revision and not self.away:
            marks = self._all_marks(table, sources)
            keep_seen(store.where, Seen(settings.revision, settings.place, marks, done.to_json()))
        return done

    def _all_marks(self, table: str, sources: Sequence[str]) -> dict[str, Mapping[str, str]]:
        """Of every source what was seen of it now, or at its last run."""
        marks = dict(self.marks)
        for source in sources:
            if source not in marks:
                both = {**self.store.known(table, source), **self.store.skipped(source)}
                marks[source] = {path: mark for path, (mark, _) in both.items()}
        return marks

    def _way(self, table: str, before: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """How the table is searched, measured anew where it has grown."""
        rows = self.store.count(table)
        if rows == 0 or (before is not None and rows < GROWN * before["rows"]):
            return before
        return choose(self.store, table, self._queries(table), self.say)

    def _queries(self, table: str) -> np.ndarray:
        """Queries to measure with: captions where the index has some, else pictures of its own. -> (Q, D)"""
        told = "array_length(captions) > 0"
        rows = self.store.rows(table, ["captions"], where=told, limit=100 * QUERIES) if self._embedder else []
        texts = list(dict.fromkeys(row["captions"][0] for row in rows[:: max(1, len(rows) // QUERIES)]))[:QUERIES]
        return self.embedder.texts(texts) if len(texts) >= QUERIES // 2 else self.store.vectors(table, QUERIES)


def packed(look: Look) -> bytes:
    """A look as bytes; see `query.unpacked`."""
    head = np.array([look.hash], "<u8").tobytes() + np.array([look.deviation], "<f8").tobytes()
    return head + look.grey.tobytes() + look.colour.tobytes()


def words_of(*texts: str) -> str:
    """Words to be looked up exactly: in small letters, each between spaces."""
    joined = "".join(letter if letter.isalnum() else " " for letter in " ".join(texts).casefold())
    return f" {' '.join(joined.split())} "


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


def _said(path: str, entry: Entry, columns: Mapping[str, str]) -> dict[str, Any]:
    """What is said of a picture: captions, attributes in their columns, and all words that it can be found by."""
    texts = [value for value in entry.attributes.values() if as_number(value) is None]
    return {
        "captions": list(entry.captions),
        "words": words_of(os.path.splitext(path)[0], *entry.captions, *texts),
        **{columns[name]: value for name, value in entry.attributes.items()},
    }


def _fitting(row: dict[str, Any], schema: Any) -> dict[str, Any]:
    """The row in the types of its columns: texts in columns of numbers are read as such, or left empty."""
    import pyarrow as pa

    fitted = {}
    for name, value in row.items():
        if isinstance(value, str) and pa.types.is_floating(schema.field(name).type):
            value = as_number(value)
        elif isinstance(value, str) and pa.types.is_timestamp(schema.field(name).type):
            value = _moment(value)
        fitted[name] = value
    return {**fitted, "date": fitted["taken"] or fitted["date"]}


def _file_of(entry: Entry) -> str | None:
    """The file of a picture that has one of its own."""
    return str(entry.picture.path.absolute()) if isinstance(entry.picture, FileRef) else None


def _modified(entry: Entry) -> datetime | None:
    path = getattr(entry.picture, "path", None)
    try:
        return None if path is None else datetime.fromtimestamp(int(os.path.getmtime(path)))
    except OSError:
        return None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
