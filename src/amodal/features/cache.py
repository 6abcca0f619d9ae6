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
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS feature (key TEXT PRIMARY KEY, used REAL, vector BLOB) WITHOUT ROWID"
            )

    def get(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """The float32 vectors that are there; each counts as used now."""
        wanted, found, now = list(dict.fromkeys(keys)), {}, time.time()
        with self._told():
            for start in range(0, len(wanted), _KEYS_A_QUERY):
                part = wanted[start : start + _KEYS_A_QUERY]
                marks = ",".join("?" * len(part))
                rows = self._connection.execute(f"SELECT key, vector FROM feature WHERE key IN ({marks})", part)
                found.update((key, np.frombuffer(vector, dtype=np.float32)) for key, vector in rows)
            self._touch(found, now)
        return found

    def put(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Keeps these vectors (as float32), all of them or none, and makes room when there are too many."""
        now = time.time()
        rows = [(key, now, np.ascontiguousarray(vector, np.float32).tobytes()) for key, vector in vectors.items()]
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("INSERT OR REPLACE INTO feature VALUES (?, ?, ?)", rows)
                self._evict()
        except sqlite3.Error as error:
            raise AmodalError(
                f"cannot write to the feature cache {self.path}: {error}; free some disk or set AMODAL_CACHE"
            ) from error

    def size(self) -> int:
        """Bytes of the vectors kept."""
        with self._told():
            return self._connection.execute("SELECT COALESCE(SUM(LENGTH(vector)), 0) FROM feature").fetchone()[0]

    def __len__(self) -> int:
        with self._told():
            return self._connection.execute("SELECT COUNT(*) FROM feature").fetchone()[0]

    def clear(self) -> None:
        """Forgets everything and gives the disk back."""
        with self._told():
            self._connection.execute("DELETE FROM feature")
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

    def _touch(self, keys: Iterable[str], now: float) -> None:
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany("UPDATE feature SET used = ? WHERE key = ?", [(now, key) for key in keys])
        except sqlite3.OperationalError:
            return  # a read-only or full disk: reading still works, only the order of eviction is not renewed

    def _evict(self) -> None:
        excess = self.size() - self.limit
        if excess <= 0:
            return
        gone = []
        for key, length in self._connection.execute("SELECT key, LENGTH(vector) FROM feature ORDER BY used, key"):
            gone.append((key,))
            excess -= length
            if excess <= 0:
                break
        self._connection.executemany("DELETE FROM feature WHERE key = ?", gone)
