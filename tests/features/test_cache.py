"""The feature cache: what comes back, its bound, several processes at once, damage, clearing."""

import importlib.util
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import amodal.features.cache as module
from amodal.core.errors import AmodalError
from amodal.features import FeatureCache, default_cache_path


def vectors(*names: str, width: int = 4) -> dict[str, np.ndarray]:
    return {name: np.full(width, hash(name) % 1000, np.float32) for name in names}


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "new" / "features.sqlite")


def test_what_was_put_comes_back(cache: FeatureCache) -> None:
    given = {"a": np.array([1.5, -2.25, np.pi]), "b": np.arange(6, dtype=np.float16)[::2]}
    cache.put(given)
    found = cache.get(["b", "absent", "a", "a"])
    assert found.keys() == {"a", "b"}
    for name in found:
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], given[name].astype(np.float32))
    assert len(cache) == 2
    assert cache.size() == 4 * 6
    assert cache.get([]) == {}


def test_a_key_put_again_is_replaced(cache: FeatureCache) -> None:
    cache.put({"a": np.ones(3)})
    cache.put({"a": np.zeros(2)})
    assert np.array_equal(cache.get(["a"])["a"], np.zeros(2, np.float32))
    assert (len(cache), cache.size()) == (1, 8)


def test_more_keys_than_one_query_takes(cache: FeatureCache) -> None:
    given = {f"k{number}": np.full(1, number, np.float32) for number in range(1203)}
    cache.put(given)
    found = cache.get([*given, "absent"])
    assert found.keys() == given.keys()
    assert all(found[name][0] == value[0] for name, value in given.items())


def test_kept_over_a_reopening(cache: FeatureCache) -> None:
    cache.put(vectors("a"))
    cache.close()
    assert FeatureCache(cache.path).get(["a"]).keys() == {"a"}


def test_the_least_recently_used_go_and_the_bound_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(module.time, "time", lambda: float(next(clock)))
    cache = FeatureCache(tmp_path / "f.sqlite", limit=4 * 16)  # room for four vectors
    for name in "abcd":
        cache.put(vectors(name))
    cache.get(["a", "c"])
    cache.put(vectors("e"))
    assert cache.get("abcde").keys() == {"a", "c", "d", "e"}  # b was the oldest
    cache.get(["d"])
    cache.put(vectors("f", "g"))
    assert cache.size() <= 4 * 16
    assert {"d", "f", "g"} <= cache.get("abcdefg").keys()
    cache.put(vectors(*"hijklmnop"))
    assert cache.size() == 4 * 16


def test_clear_forgets_and_gives_the_disk_back(cache: FeatureCache) -> None:
    cache.put(vectors(*(f"k{number}" for number in range(300)), width=1000))

    def on_disk() -> int:
        return sum(path.stat().st_size for path in cache.path.parent.iterdir())

    assert on_disk() > 1_200_000
    cache.clear()
    assert (len(cache), cache.size()) == (0, 0)
    assert on_disk() < 100_000
    cache.put(vectors("a"))
    assert len(cache) == 1


def test_the_size_is_that_of_the_vectors_kept(tmp_path: Path) -> None:
    """However they are put, replaced, evicted and refused."""
    draw, cache = np.random.default_rng(0), FeatureCache(tmp_path / "f.sqlite", limit=4 * 60)
    kept = sqlite3.connect(cache.path)
    for turn in range(40):
        cache.put({f"k{draw.integers(12)}": np.zeros(draw.integers(1, 20)) for _ in range(draw.integers(1, 4))})
        cache.get([f"k{draw.integers(12)}"])
        if turn % 10 == 0:
            with pytest.raises(ValueError, match="could not convert"):
                cache.put({"k0": np.zeros(3), "bad": np.array(["no number"])})
        ((count, size),) = kept.execute("SELECT COUNT(*), SUM(LENGTH(content)) FROM vector")
        assert (len(cache), cache.size()) == (count, size)
        assert size <= cache.limit


def test_an_older_file_is_begun_afresh(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "f.sqlite", isolation_level=None)
    old.execute("PRAGMA journal_mode = WAL")
    old.execute("CREATE TABLE feature (key TEXT PRIMARY KEY, used REAL, vector BLOB) WITHOUT ROWID")
    old.execute("INSERT INTO feature VALUES ('a', 1.0, X'00000000')")
    old.close()
    cache = FeatureCache(tmp_path / "f.sqlite")
    assert (len(cache), cache.size(), cache.get(["a"])) == (0, 0, {})
    cache.put(vectors("a"))
    assert len(FeatureCache(cache.path)) == 1


def test_a_newer_file_is_left_as_it_is(cache: FeatureCache) -> None:
    cache.put(vectors("a"))
    other = sqlite3.connect(cache.path, isolation_level=None)
    other.execute("PRAGMA user_version = 99")
    with pytest.raises(AmodalError, match="AMODAL_CACHE"):
        FeatureCache(cache.path)
    assert cache.get(["a"])


def test_a_file_that_is_no_cache_names_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "f.sqlite"
    file.write_bytes(b"this is not a database" * 100)
    with pytest.raises(AmodalError, match=r"f\.sqlite cannot be used .*delete the file, or set AMODAL_CACHE"):
        FeatureCache(file)


def test_a_damaged_cache_names_the_way_out(cache: FeatureCache) -> None:
    cache.put(vectors(*(f"k{number}" for number in range(100)), width=1000))
    cache.close()
    content = bytearray(cache.path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    cache.path.write_bytes(content)
    for use in (lambda c: c.get(["k1"]), lambda c: c.put(vectors("a")), len, lambda c: c.size(), lambda c: c.clear()):
        with pytest.raises(AmodalError, match=r"features\.sqlite.*(delete|AMODAL_CACHE)"):
            use(FeatureCache(cache.path))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AmodalError, match="cannot be used"):
        FeatureCache(tmp_path / "file" / "f.sqlite")


def test_reading_works_while_another_holds_the_lock(cache: FeatureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put(vectors("a"))
    connect = sqlite3.connect
    monkeypatch.setattr(module.sqlite3, "connect", lambda path, **given: connect(path, **{**given, "timeout": 0.1}))
    reader, other = FeatureCache(cache.path), connect(cache.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert reader.get(["a"]).keys() == {"a"}
    with pytest.raises(AmodalError, match="locked"):
        reader.put(vectors("b"))
    other.execute("ROLLBACK")
    reader.put(vectors("b"))
    assert len(reader) == 2


WRITER = """
import importlib.util, sys
import numpy as np
spec = importlib.util.spec_from_file_location("cache", sys.argv[1])
cache = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cache)
own = cache.FeatureCache(cache.Path(sys.argv[2]))
for turn in range(15):
    own.put({f"{sys.argv[3]}/{turn}/{n}": np.full(50, n, np.float32) for n in range(10)})
    own.put({"shared": np.full(50, 7, np.float32)})
    assert len(own.get([f"{sys.argv[3]}/{turn}/{n}" for n in range(10)])) == 10
"""


def test_processes_write_at_once_into_a_new_file(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("amodal.features.cache")
    assert spec is not None
    assert spec.origin is not None
    file = tmp_path / "f.sqlite"
    command = [sys.executable, "-c", WRITER, spec.origin, str(file)]
    writers = [subprocess.Popen([*command, name], stderr=subprocess.PIPE) for name in "abc"]
    for writer in writers:
        _, said = writer.communicate(timeout=100)
        assert writer.returncode == 0, said.decode()
    cache = FeatureCache(file)
    assert len(cache) == 3 * 150 + 1
    assert all(vector.shape == (50,) for vector in cache.get(f"b/{turn}/3" for turn in range(15)).values())
    assert cache.get(["shared"])["shared"][0] == 7
    assert cache.size() == 4 * 50 * len(cache)


def test_many_open_a_new_file_at_once(tmp_path: Path) -> None:
    failed: list[Exception] = []

    def use(number: int) -> None:
        try:
            own = FeatureCache(tmp_path / "f.sqlite")
            own.put(vectors(f"k{number}"))
            own.close()
        except AmodalError as error:
            failed.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(FeatureCache(tmp_path / "f.sqlite")) == 12


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMODAL_CACHE", str(tmp_path))
    assert default_cache_path() == tmp_path / "features.sqlite"
    monkeypatch.delenv("AMODAL_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache_path() == tmp_path / "xdg" / "amodal" / "features.sqlite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_path() == Path.home() / ".cache" / "amodal" / "features.sqlite"
