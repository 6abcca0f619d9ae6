"""The tables of an index: every change is one commit or none.

pictures-FINGERPRINT: a row a picture, of one model; skipped: what could not be read; versions:
a row each time an index was complete. The last of these rows says which table answers and what it was made with.

N rows · D width of the joint space
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from amodal.core.errors import DataError, UsageError
from amodal.search.lance import alone, filtered, lancedb, optimize, told
from amodal.search.layout import (
    BUILT_IN,
    BY_CONTENT,
    FORMAT,
    LEFT_OUT,
    LOG,
    Settings,
    Version,
    column_of,
    quoted,
    read_settings,
)
from amodal.search.seen import forget_seen
from amodal.search.thumbnails import Thumbnails

_PICTURES, _SKIPPED, _VERSIONS = "pictures-", "skipped", "versions"
_EVER = timedelta(days=36500)
_MOST_TABLES = 1000
_READ = 64  # rows of a list that are read at once
_FRAGMENTS = 64
"""Pieces of a table from which they are put together."""


@dataclass
class Store:
    """An index on disk or in an object store. Raises DataError where there is none and `create` is not set."""

    where: str
    create: bool = False
    _opened: dict[str, Any] = field(default_factory=dict, repr=False)
    _log: tuple[int, list[Version]] = field(default=(0, []), repr=False)  # the versions, and that of their own table
    thumbnails: Thumbnails = field(init=False, repr=False)

    def __post_init__(self) -> None:
        local = "://" not in self.where
        if local and not self.create and not Path(self.where).is_dir():
            raise DataError(f"there is no index at {self.where}; make one with: amodal index FOLDER --out {self.where}")
        with told(self.where):
            self.thumbnails = Thumbnails(self.where)
            self._connection = lancedb().connect(self.where)
            self._names = set(self._connection.list_tables(limit=_MOST_TABLES).tables)
        if not self.create and not self._names:
            raise DataError(
                f"{self.where} holds no index; give one that was made with: amodal index FOLDER --out INDEX"
            )

    def versions(self) -> list[Version]:
        """The times when the index was complete, in order."""
        if _VERSIONS not in self._names:
            return []
        table = self._table(_VERSIONS)
        if self._log[0] != table.version:
            rows = sorted(table.to_arrow().to_pylist(), key=lambda row: row["number"])
            self._log = table.version, [Version(**{**row, "settings": read_settings(row["settings"])}) for row in rows]
        return self._log[1]

    def current(self) -> Version | None:
        """The version that answers; None while the first is not complete."""
        versions = self.versions()
        return versions[-1] if versions else None

    def growing(self) -> tuple[str, Settings] | None:
        """The table that answers and what it was made with: of the last complete version, or of the first that grows.

        None for an index that holds nothing yet.
        """
        current = self.current()
        if current is not None:
            return current.table, current.settings
        tables = sorted(name for name in self._names if name.startswith(_PICTURES))
        return (tables[0], self.stamp(tables[0])) if tables else None

    def pictures(self, settings: Settings) -> str:
        """The name of the table of a model, which is made if it is not there."""
        name = _PICTURES + settings.fingerprint[:16]
        if name not in self._names:
            vector = pa.field("vector", pa.list_(pa.float16(), settings.dimension))
            stamp = {"amodal": json.dumps({"format": FORMAT, **asdict(settings)})}
            self._create(name, BUILT_IN.append(vector).with_metadata(stamp))
        elif self.stamp(name).dimension != settings.dimension:
            raise DataError(
                f"{self.where}: the table of this model holds vectors of {self.stamp(name).dimension} numbers and not "
                f"{settings.dimension}; make a new index"
            )
        return name

    def stamp(self, name: str) -> Settings:
        """What a table says it was made with. Raises DataError for a table of a later format."""
        said = json.loads((self._table(name).schema.metadata or {}).get(b"amodal", b'{"format": 0}'))
        if said.pop("format") != FORMAT:
            raise DataError(f"{self.where} was made by another version of amodal; upgrade it, or make a new index")
        return read_settings(json.dumps(said))

    def columns(self, name: str) -> pa.Schema:
        """The columns of a table."""
        return self._table(name).schema

    def attribute_columns(self, name: str, wanted: Mapping[str, bool]) -> dict[str, str]:
        """Makes columns for attributes (name -> whether it holds numbers) where there are none. -> name -> column"""
        named = {each: column_of(each) for each in wanted}
        schema = self.columns(name)
        fresh = {
            column: pa.field(column, pa.float64() if wanted[each] else pa.string())
            for each, column in named.items()
            if column not in schema.names
        }
        if fresh:
            with told(self.where):
                self._table(name).add_columns(pa.schema(list(fresh.values())))
        return named

    def known(self, name: str, source: str | None = None) -> dict[str, tuple[str, str]]:
        """path -> (mark, content) of a source's pictures, or "source\\0path" -> of all."""
        query = self._table(name).search()
        query = query if source is None else query.where(f"source = {quoted(source)}")
        found = query.select(["source", "path", "mark", "content"]).limit(self.count(name) + 1).to_arrow().to_pydict()
        keys = found["path"] if source is not None else map("\0".join, zip(found["source"], found["path"], strict=True))
        return dict(zip(keys, zip(found["mark"], found["content"], strict=True), strict=True))

    def contents(self, name: str) -> set[str]:
        """What the pictures of a table are, each once."""
        return {content for _, content in self.known(name).values()}

    def by_content(self, name: str, contents: Iterable[str]) -> dict[str, dict[str, Any]]:
        """content -> what it decides (`BY_CONTENT`), of the contents that are there."""
        wanted = ", ".join(map(quoted, contents))
        if not wanted:
            return {}
        query = self._table(name).search().where(f"content IN ({wanted})").select(["content", *BY_CONTENT])
        return {row["content"]: row for row in query.limit(self.count(name)).to_arrow().to_pylist()}

    def put(self, name: str, rows: Sequence[Mapping[str, Any]], *, known: bool) -> None:
        """Adds rows; known: some take the place of those of the same source and path. One commit."""
        schema = self.columns(name)
        table = self._table(name)
        empty = dict.fromkeys(schema.names)
        whole = [{**empty, **row, "vector": np.asarray(row["vector"], np.float16)} for row in rows]
        data = pa.Table.from_pylist(whole, schema=schema)
        with told(self.where):
            if known:
                merge = table.merge_insert(["source", "path"]).when_matched_update_all().when_not_matched_insert_all()
                merge.execute(data)
            else:
                table.add(data)

    def remove(self, name: str, source: str, paths: Sequence[str]) -> None:
        """Deletes the rows of these paths. One commit."""
        if paths:
            with told(self.where):
                self._table(name).delete(f"source = {quoted(source)} AND path IN ({', '.join(map(quoted, paths))})")

    def count(self, name: str, where: str = "") -> int:
        """Rows of a table, or those for which the filter holds. Raises UsageError for a wrong one."""
        table = self._table(name)
        with filtered(table):
            return table.count_rows(where or None)

    def skipped(self, source: str) -> dict[str, tuple[str, str]]:
        """path -> (mark, reason) of what could not be read."""
        if _SKIPPED not in self._names:
            return {}
        rows = self._table(_SKIPPED).to_arrow().to_pylist()
        return {row["path"]: (row["mark"], row["reason"]) for row in rows if row["source"] == source}

    def keep_skipped(self, source: str, found: Mapping[str, tuple[str, str]]) -> None:
        """Puts what could not be read of a source in the place of what could not be before."""
        if found == self.skipped(source):
            return
        table = self._made(_SKIPPED, LEFT_OUT)
        others = [row for row in table.to_arrow().to_pylist() if row["source"] != source]
        rows = [{"source": source, "path": path, "mark": mark, "reason": why} for path, (mark, why) in found.items()]
        with told(self.where):
            table.add(pa.Table.from_pylist([*others, *rows], schema=LEFT_OUT), mode="overwrite")

    def complete(self, name: str, did: str, settings: Settings) -> Version:
        """Says that a table is complete: from this commit on it answers."""
        table = self._table(name)
        last = self.current()
        version = Version(
            number=1 if last is None else last.number + 1,
            table=name,
            version=table.version,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            pictures=table.count_rows(),
            did=did,
            settings=settings,
        )
        row = {**vars(version), "settings": json.dumps(asdict(settings))}
        with told(self.where):
            self._made(_VERSIONS, LOG).add(pa.Table.from_pylist([row], schema=LOG))
        return version

    def roll_back(self, number: int) -> Version:
        """Makes the table what it was when that version was complete, as a new version. Raises UsageError."""
        versions = {version.number: version for version in self.versions()}
        if number not in versions:
            there = f"it has 1 to {max(versions)}" if versions else "it has none yet"
            raise UsageError(f"{self.where} has no version {number}; {there}")
        wanted = versions[number]
        with alone(self.where):
            forget_seen(self.where)
            table = self._table(wanted.table)
            with told(self.where):
                table.checkout(wanted.version)
                table.restore()
            self._without_thumbnails(wanted.table)
            return self.complete(wanted.table, f"rolled back to version {number}", wanted.settings)

    def _without_thumbnails(self, name: str) -> None:
        """Drops thumbnails that are on no row, and has rows that lost theirs read again by the next update."""
        contents = self.contents(name)
        lost = contents - self.thumbnails.keep_only(contents)
        if lost:
            with told(self.where):
                self._table(name).update(where=f"content IN ({', '.join(map(quoted, lost))})", values={"mark": ""})

    def forget(self) -> None:
        """Deletes all versions but the one that answers, and what only they held, from the disk too."""
        current = self.current()
        if current is None:
            return
        with alone(self.where), told(self.where):
            forget_seen(self.where)
            for name in self._names - {_SKIPPED, _VERSIONS, current.table}:
                self._connection.drop_table(name)
            self._names = set(self._connection.list_tables(limit=_MOST_TABLES).tables)
            self.tidy(current.table, _EVER, always=True)
            for name in self._names:
                optimize(self._table(name), timedelta(0))
            self._table(_VERSIONS).delete("true")
            self.complete(current.table, "older versions forgotten", current.settings)

    def tidy(self, name: str, age: timedelta = _EVER, *, always: bool = False) -> None:
        """Puts the pieces of a table together where there are many, and takes new rows into its index."""
        table = self._table(name)
        if always or table.stats()["fragment_stats"]["num_fragments"] > _FRAGMENTS or table.list_indices():
            with told(self.where):
                optimize(table, age)

    def nearest(
        self,
        name: str,
        query_D: np.ndarray,
        count: int,
        columns: Sequence[str],
        *,
        where: str = "",
        at_least: float = -2,
        approximate: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """The rows nearest to a vector with their cosine (`score`), best first, ties by source and path.

        where: a filter in SQL; at_least: cosine below which a row is left out; approximate: what `choose` gave, None
        for an exact search. Raises UsageError for a wrong filter.
        """
        query = self._table(name).search(query_D.astype(np.float32)).distance_type("cosine").limit(max(count, 1))
        if approximate is not None and not approximate["kind"]:
            approximate = None
        if approximate is None:
            query = query.bypass_vector_index()
        else:
            query = query.nprobes(approximate["probes"]).refine_factor(approximate["refine"])
        if at_least > -2:
            query = query.distance_range(upper_bound=1 - at_least)
        if where:
            query = query.where(f"({where})", prefilter=True)
        rows = self._asked(name, query.select([*columns, "_distance"]))
        if approximate is not None and len(rows) < count:  # few pass, or many are wanted: look everywhere
            rows = self._asked(name, query.maximum_nprobes(0))
        for row in rows:
            row["score"] = 1 - row.pop("_distance")
        return sorted(rows, key=lambda row: (-row["score"], row["source"], row["path"]))

    def rows(self, name: str, columns: Sequence[str], *, where: str = "", limit: int = 0) -> list[dict[str, Any]]:
        """All rows for which a filter in SQL holds, or `limit` of them. Raises UsageError for a wrong one."""
        query = self._table(name).search().select(list(columns)).limit(limit or self.count(name) + 1)
        return self._asked(name, query.where(where) if where else query)

    def listed(
        self, name: str, columns: Sequence[str], *, where: str = "", newest: bool = False
    ) -> Iterator[dict[str, Any]]:
        """The rows for which a filter in SQL holds, by source and path or the newest first, read as they are taken and
        all of one version. Raises UsageError for a wrong filter."""
        table = self._held(name)
        by = [("date", "descending")] * newest + [("source", "ascending"), ("path", "ascending")]
        found = self._found(table, [column for column, _ in by], where)
        return _taken(table, found.sort_by(by)["_rowid"].to_pylist(), columns)

    def ranked(self, name: str, query_D: np.ndarray, columns: Sequence[str], *, where: str) -> Iterator[dict[str, Any]]:
        """The rows for which a filter in SQL holds, with their cosine (`score`), best first, ties by source and path,
        read as they are taken: for a filter that leaves few of many. Raises UsageError for a wrong one."""
        table = self._held(name)
        found = self._found(table, ["source", "path", "vector"], where)
        if not len(found):
            return
        vector_ND = _vectors(found)
        score_N = vector_ND @ query_D / np.linalg.norm(vector_ND, axis=1) / np.linalg.norm(query_D)
        order = found.select(["source", "path", "_rowid"]).append_column("score", pa.array(score_N))
        order = order.sort_by([("score", "descending"), ("source", "ascending"), ("path", "ascending")])
        for score, row in zip(order["score"], _taken(table, order["_rowid"].to_pylist(), columns), strict=True):
            yield {**row, "score": score.as_py()}

    def vectors(self, name: str, count: int) -> np.ndarray:
        """So many vectors from all over a table, the same ones each time. -> (N, D)"""
        table, rows = self._table(name), self.count(name)
        if rows <= count:
            return _vectors(table.search().select(["vector"]).limit(count).to_arrow())
        places = np.linspace(0, rows - 1, count).astype(int).tolist()
        return _vectors(table.take_offsets(places).select(["vector"]).to_arrow())

    def build_approximate(self, name: str, kind: str) -> None:
        """An approximate index over the vectors, in the place of any other."""
        index = lancedb().index
        two_bits = partial(index.IvfRq, num_bits=2)  # one bit needs more rows looked at again than it saves
        config = {"IVF_RQ": two_bits, "IVF_HNSW_SQ": index.HnswSq, "IVF_PQ": index.IvfPq}[kind]
        with told(self.where):
            self._table(name).create_index("vector", config=config(distance_type="cosine"), replace=True)

    def index_bytes(self, name: str) -> int:
        """What the approximate index of a table takes on the disk."""
        return sum(each.size_bytes or 0 for each in self._table(name).list_indices())

    def drop_approximate(self, name: str) -> None:
        """Removes the approximate index, if there is one."""
        table = self._table(name)
        for each in table.list_indices():
            table.drop_index(each.name)

    def _table(self, name: str) -> Any:
        """A table as it is now."""
        if name not in self._opened:
            with told(self.where):
                self._opened[name] = self._connection.open_table(name)
        self._opened[name].checkout_latest()
        return self._opened[name]

    def _asked(self, name: str, query: Any) -> list[dict[str, Any]]:
        with filtered(self._opened[name]):
            return query.to_arrow().to_pylist()

    def _held(self, name: str) -> Any:
        """A table that stays as it is now, whatever is committed to it."""
        with told(self.where):
            table = self._connection.open_table(name)
            table.checkout(table.version)
        return table

    def _found(self, table: Any, columns: Sequence[str], where: str) -> pa.Table:
        """All rows for which a filter holds, with `_rowid`."""
        query = table.search().select(list(columns)).with_row_id(True).limit(table.count_rows() + 1)
        with filtered(table):
            return (query.where(where) if where else query).to_arrow()

    def _made(self, name: str, schema: pa.Schema) -> Any:
        if name not in self._names:
            self._create(name, schema)
        return self._table(name)

    def _create(self, name: str, schema: pa.Schema) -> None:
        with told(self.where):
            self._opened[name] = self._connection.create_table(name, schema=schema, exist_ok=True)
        self._names.add(name)


def _taken(table: Any, numbers: Sequence[int], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows by `_rowid`, in this order, some at once."""
    for start in range(0, len(numbers), _READ):
        ids = numbers[start : start + _READ]
        rows = table.take_row_ids(ids).select(list(columns)).with_row_id().to_arrow().to_pylist()
        of = {row.pop("_rowid"): row for row in rows}
        yield from (of[number] for number in ids)


def _vectors(found: pa.Table) -> np.ndarray:
    """-> (N, D)"""
    vector = found["vector"].combine_chunks()
    return vector.flatten().to_numpy(zero_copy_only=False).reshape(len(found), -1).astype(np.float32)
