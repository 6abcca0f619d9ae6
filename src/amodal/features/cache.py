"""What frozen towers said, kept by content: one SQLite file, bounded, shared safely by any number of processes."""

import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from amodal.core.errors import AmodalError

LIMIT_BYTES = 4 << 30
_KEYS_A_QUERY = 500
_FORMAT = 2
# What is often written (when a vector was used) lies apart from the vectors; triggers keep their total exact.
_TABLES = (
    "DROP TABLE IF EXISTS feature",  # format 1, which is not read any more
    "CREATE TABLE entry (id INTEGER PRIMARY KEY, key TEXT UNIQUE, used REAL, length INTEGER)",
    "CREATE INDEX entry_used ON entry (used)",
    "CREATE TABLE vector (id INTEGER PRIMARY KEY, content BLOB)",
    "CREATE TABLE total (bytes INTEGER)",
    "INSERT INTO total VALUES (0)",
    "CREATE TRIGGER entry_put AFTER INSERT ON entry BEGIN UPDATE total SET bytes = bytes + NEW.length; END",
    """CREATE TRIGGER entry_gone AFTER DELETE ON entry BEGIN
        UPDATE total SET bytes = bytes - OLD.length; DELETE FROM vector WHERE id = OLD.id; END""",
    f"PRAGMA user_version = {_FORMAT}",
)


def default_cache_path() -> Path:
    """Where features are kept: $AMODAL_CACHE, else the user's cache folder of this system."""
    if "AMODAL_CACHE" in os.environ:
        return Path(os.environ["AMODAL_CACHE"]) / "features.sqlite"
    homes = {"win32": "AppData/Local/amodal", "darwin": "Library/Caches/amodal"}
    base = Path.home() / homes.get(sys.platform, ".cache/amodal")
    if sys.platform.startswith("linux") and os.environ.get("XDG_CACHE_HOME"):
        base = Path(os.environ["XDG_CACHE_HOME"]) / "amodal"
    return base / "features.sqlite"


class FeatureCache:
    """Vectors by key. The least recently used go once the vectors exceed `limit` bytes.

    A key must name everything that decides the vector: tower weights, preprocessing, view and content. Two runs may
    read and write at once (write-ahead log; a writer waits for another up to a minute). Raises AmodalError when the
    file cannot be used, saying how to start afresh.
    """

    def __init__(self, path: Path | None = None, *, limit: int = LIMIT_BYTES) -> None:
        self.path, self.limit = path or default_cache_path(), limit
        with self._told():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            if self._format() != _FORMAT:
                self._lay_out()

    def get(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """The float32 vectors that are there; each counts as used now."""
        wanted, found, now = list(dict.fromkeys(keys)), {}, time.time()
        with self._told():
            ids: list[int] = []
            for start in range(0, len(wanted), _KEYS_A_QUERY):
                part = wanted[start : start + _KEYS_A_QUERY]
                marks = ",".join("?" * len(part))
                for row, key, content in self._connection.execute(
                    f"SELECT id, key, content FROM entry JOIN vector USING (id) WHERE key IN ({marks})", part
                ):
                    ids.append(row)
                    found[key] = np.frombuffer(content, dtype=np.float32)
            self._touch(ids, now)
        return found

    def put(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Keeps these vectors (as float32), all of them or none, and makes room when there are too many."""
        now = time.time()
        contents = {key: np.ascontiguousarray(vector, np.float32).tobytes() for key, vector in vectors.items()}
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("DELETE FROM entry WHERE key = ?", [(key,) for key in contents])
                for key, content in contents.items():
                    row = self._connection.execute(
                        "INSERT INTO entry (key, used, length) VALUES (?, ?, ?)", (key, now, len(content))
                    ).lastrowid
                    self._connection.execute("INSERT INTO vector VALUES (?, ?)", (row, content))
                self._evict()
        except sqlite3.Error as error:
            raise AmodalError(
                f"cannot write to the feature cache {self.path}: {error}; free some disk or set AMODAL_CACHE"
            ) from error

    def size(self) -> int:
        """Bytes of the vectors kept."""
        with self._told():
            return self._connection.execute("SELECT bytes FROM total").fetchone()[0]

    def __len__(self) -> int:
        with self._told():
            return self._connection.execute("SELECT COUNT(*) FROM entry").fetchone()[0]

    def clear(self) -> None:
        """Forgets everything and gives the disk back."""
        with self._told():
            self._connection.execute("DELETE FROM entry")
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # until then the log keeps the old size

    def close(self) -> None:
        """Closes the file; the object cannot be used afterwards."""
        self._connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the database or the disk, with the way out."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise AmodalError(
                f"the feature cache {self.path} cannot be used ({error}); delete the file, "
                "or set AMODAL_CACHE to a folder you can write"
            ) from error

    def _format(self) -> int:
        return self._connection.execute("PRAGMA user_version").fetchone()[0]

    def _lay_out(self) -> None:
        """Makes the tables of a new file, or in place of those of an older format, unless another process just did."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            if self._format() != _FORMAT:
                for statement in _TABLES:
                    self._connection.execute(statement)

    def _touch(self, ids: Iterable[int], now: float) -> None:
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("UPDATE entry SET used = ? WHERE id = ?", [(now, row) for row in ids])
        except sqlite3.OperationalError:
            return  # a read-only or full disk: reading still works, only the order of eviction is not renewed

    def _evict(self) -> None:
        excess = self.size() - self.limit
        if excess <= 0:
            return
        gone = []
        for row, length in self._connection.execute("SELECT id, length FROM entry ORDER BY used, id"):
            gone.append((row,))
            excess -= length
            if excess <= 0:
                break
        self._connection.executemany("DELETE FROM entry WHERE id = ?", gone)
