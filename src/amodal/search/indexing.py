"""`update`: an index brought up to what its sources hold. Only new and changed pictures are opened, only new contents
are embedded; every step is a commit, so that a run killed anywhere leaves what answers, and the next one goes on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from amodal.core.errors import DataError
from amodal.data.rows import Skipped
from amodal.data.sources import BUNDLED
from amodal.data.tables import ADDRESS
from amodal.search.approximate import GROWN, QUERIES, choose
from amodal.search.blocks import Cluster
from amodal.search.embedder import PACKAGED_NAME, Embedder
from amodal.search.filling import Counts, Filling
from amodal.search.lance import alone, refuse_unfit
from amodal.search.layout import Settings
from amodal.search.seen import Seen, forget_seen, keep_seen, read_seen
from amodal.search.store import Store
from amodal.search.survey import Survey, survey


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


def update(
    where: str,
    source: str,
    embedder: Callable[[], Embedder],
    *,
    revision: str = "",
    place: bool | None = None,
    gone: bool = False,
    given: Callable[[Embedder], Mapping[str, np.ndarray]] | None = None,
    cluster: Cluster | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Updated:
    """Brings the index at `where` (a folder, or an object store's URL) up to what `source` holds, or makes it.

    embedder: called only when a model is needed; revision: of the model's files, as `Embedder.revision`, to tell a
    known model without opening it; place: keep positions of EXIF, None as before; gone: take what is not there for
    deleted though its whole folder or source is missing or empty; given: vectors that are known, by content;
    cluster: reads and embeds in place of this process, which alone writes.
    With another model a table of its own is built over all sources, and the old one answers until it is complete.
    Raises DataError, and UsageError without LanceDB.
    """
    seen = read_seen(where)
    kept = place if place is not None else bool(seen and seen.place)
    found = survey(source, place=kept)
    new = "://" not in where and not Path(where).exists()
    if new and not found.marks and not found.skipped:
        lacks = "holds no picture that can be read" if Path(source).exists() else "is not there"
        raise DataError(f"{source} {lacks}; give a folder of pictures or a caption table")
    if seen is not None and revision and _nothing_changed(seen, found, revision, kept):
        return _as_before(seen)
    refuse_unfit(where)
    with alone(where):
        run = _Update(Store(where, create=True), embedder, revision, place, gone, given, cluster, say)
        return run(found, kept)


def model_of(where: str) -> str:
    """What opens the model that made an index: "" for the packaged one, and where there is no index yet."""
    seen = read_seen(where)
    if seen is not None:
        return seen.origin
    refuse_unfit(where)
    if "://" not in where and not Path(where).is_dir():
        return ""
    found = Store(where, create=True).growing()
    return "" if found is None else found[1].origin


def _nothing_changed(seen: Seen, found: Survey, revision: str, place: bool) -> bool:
    same = seen.revision == revision and seen.place == place and seen.marks.get(found.source) == found.marks
    told = {(each["path"], each["reason"]) for each in seen.answer["skipped"]}
    return same and bool(found.marks) and told.issuperset(found.skipped)


def _as_before(seen: Seen) -> Updated:
    skipped = tuple(Skipped(each["path"], each["reason"]) for each in seen.answer["skipped"])
    nothing = dict.fromkeys(("added", "changed", "known", "embedded", "deleted"), 0)
    return Updated(**{**seen.answer, **nothing, "skipped": skipped, "away": tuple(seen.answer["away"])})


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
        cluster: Cluster | None,
        say: Callable[[str], None],
    ) -> None:
        self.store, self.open, self.gone, self.given, self.say = store, embedder, gone, given, say
        self.cluster = cluster
        self.counts, self.skipped, self.away = Counts(), list[Skipped](), list[str]()
        self._embedder: Embedder | None = None
        self.before = store.growing()
        self.settings = self._settings(revision, place)
        self.marks: dict[str, Mapping[str, str]] = {}

    def __call__(self, found: Survey, place: bool) -> Updated:
        """Updates one source, as it was just looked over, or all of them where the model is another one."""
        store, source = self.store, found.source
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
        unfinished = store.thumbnails.begin()
        for each in sources if other else (source,):
            fresh = each == source and place == self.settings.place
            seen = found if fresh else survey(each, place=self.settings.place)
            self._source(table, seen, self.before[0] if other and self.before is not None else "")
        for each in sources:
            if self.counts.known and not ADDRESS.match(each) and not Path(each).exists() and each != BUNDLED:
                self.say(
                    f"{each} is not there, and its pictures stay in the index; if it was moved to {source}, say so "
                    f"with: amodal index {each} --out {store.where} --gone"
                )
        if unfinished:
            store.thumbnails.keep_only(store.contents(table))
        store.thumbnails.finish()
        return self._finish(table, tuple(each for each in sources if not self.gone or self.marks.get(each, True)))

    @property
    def embedder(self) -> Embedder:
        """The model, opened when it is first asked for."""
        if self._embedder is None:
            self._embedder = self.open()
        return self._embedder

    @cached_property
    def _given(self) -> Mapping[str, np.ndarray]:
        return {} if self.given is None else self.given(self.embedder)

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

    def _source(self, table: str, found: Survey, replaces: str) -> None:
        """One source into a table. replaces: the table of another model, of which nothing may be lost."""
        store, source = self.store, found.source
        known = store.known(table, found.source)
        before = store.known(replaces, found.source) if replaces and not self.gone else {}
        away = [path for path in before if path not in found.marks and found.may_be_away(path)]
        if away:
            raise DataError(
                f"{source} or a folder in it is away, and {len(away):,} pictures of it must be embedded again with the "
                f"new model; connect it, or leave them out with: amodal index {source} --out {store.where} --gone "
                f"--model {self.settings.origin or PACKAGED_NAME}"
            )
        skipped = store.skipped(found.source)
        old = {path: mark for path, (mark, _) in [*skipped.items(), *known.items()]}
        wanted = [path for path, mark in found.marks.items() if old.get(path) != mark]
        self._check_there(found, known)
        filling = Filling(
            store, table, found, known, self.counts, lambda: self.embedder, lambda: self._given, self.cluster
        )
        broken = filling.fill(wanted, place=self.settings.place, say=self.say)
        still = {
            path: each for path, each in skipped.items() if found.marks.get(path) == each[0] and path not in broken
        }
        store.keep_skipped(found.source, {**still, **broken})
        self.marks[source] = {path: mark for path, mark in found.marks.items() if broken.get(path, (mark,))[0] == mark}
        self.skipped += [Skipped(path, reason) for path, (_, reason) in sorted({**still, **broken}.items())]
        self.skipped += found.skipped
        absent = [path for path in known if path not in found.marks]
        if not self.gone:
            kept = [path for path in absent if found.may_be_away(path)]
            absent = sorted(set(absent) - set(kept))
            self._tell_away(found, kept)
        self.counts.deleted += len(absent)
        absent += [path for path in broken if path in known]
        self._drop_thumbnails(table, {(found.source, path) for path in absent}, filling.replaced)
        store.remove(table, found.source, absent)

    def _drop_thumbnails(self, table: str, gone: set[tuple[str, str]], replaced: set[str]) -> None:
        """Deletes the thumbnails of what will be on no row once these are gone. replaced: contents of before."""
        if not gone and not replaced:
            return
        pairs = {tuple(key.split("\0")): content for key, (_, content) in self.store.known(table).items()}
        going = {pairs[key] for key in gone} | replaced
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

    def _finish(self, table: str, sources: tuple[str, ...]) -> Updated:
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
            keep_seen(store.where, Seen(settings.origin, settings.revision, settings.place, marks, done.to_json()))
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
