"""The choice of a way to search: exactly while that is fast, else by an index that was measured to be good."""

from typing import Any

import lancedb
import lancedb.index
import numpy as np
import pytest

from amodal.search import Settings, Store, approximate
from amodal.search.approximate import choose

ROWS, WIDTH = 3000, 32
SETTINGS = Settings(model="m", origin="", revision="", fingerprint="a" * 64, dimension=WIDTH)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(60, WIDTH))
    found = centres[draw.integers(60, size=ROWS)] + 0.6 * draw.normal(size=(ROWS, WIDTH))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def filled(vectors: np.ndarray, tmp_path: Any) -> tuple[Store, str]:
    store = Store(str(tmp_path / "index"), create=True)
    table = store.pictures(SETTINGS)
    store.put(table, [{"source": "s", "path": f"{n:05}", "vector": v} for n, v in enumerate(vectors)], known=False)
    return store, table


def test_exact_search_is_exact(filled: tuple[Store, str], vectors: np.ndarray) -> None:
    store, table = filled
    cosine = vectors.astype(np.float16).astype(np.float32) @ vectors[7]
    found = store.nearest(table, vectors[7], 10, ("source", "path"))
    assert {row["path"] for row in found} == {f"{n:05}" for n in np.argsort(-cosine)[:10]}
    assert found[0]["path"] == "00007"
    np.testing.assert_allclose([row["score"] for row in found], np.sort(cosine)[::-1][:10], atol=2e-3)


def test_while_exact_search_is_fast_nothing_is_built(filled: tuple[Store, str], vectors: np.ndarray) -> None:
    said: list[str] = []
    choice = choose(*filled, vectors[:8], said.append)
    assert (choice["kind"], choice["rows"]) == ("", ROWS)
    assert "no approximate index is needed" in said[0]


def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact search takes a second, by the clock of the measurement."""
    measured = approximate._measured

    def timed(store: Store, table: str, queries: np.ndarray, way: Any) -> Any:
        found, seconds = measured(store, table, queries, way)
        return found, 1.0 if way is None else seconds

    monkeypatch.setattr(approximate, "_measured", timed)


def _both(store: Store, table: str, vector: np.ndarray, choice: Any) -> int:
    """How many of the ten nearest the chosen index finds."""
    exact, near = (store.nearest(table, vector, 10, ("source", "path"), approximate=way) for way in (None, choice))
    return len({row["path"] for row in exact} & {row["path"] for row in near})


def test_what_is_slow_gets_an_index_that_finds_enough(
    filled: tuple[Store, str], vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(monkeypatch)
    said: list[str] = []
    store, table = filled
    choice = choose(store, table, vectors[:16], said.append)
    assert choice["kind"] in approximate.KINDS
    assert choice["recall"] >= approximate.RECALL
    assert f"approximate index {choice['kind']}" in said[0]
    assert np.mean([_both(store, table, vector, choice) for vector in vectors[:16]]) == pytest.approx(
        10 * choice["recall"], abs=1e-3
    )


def test_an_index_caps_no_answer(filled: tuple[Store, str], vectors: np.ndarray) -> None:
    store, table = filled
    kind = lancedb.index.IvfRq(distance_type="cosine", num_partitions=16)
    store._table(table).create_index("vector", config=kind)
    way = {"kind": "IVF_RQ", "probes": 1, "refine": 4}
    assert len(store.nearest(table, vectors[0], ROWS, ("source", "path"), approximate=way)) == ROWS
    far = [f"{n:05}" for n in np.argsort(vectors @ vectors[0])[:20]]
    where = f"path IN ({', '.join(map(repr, far))})"
    found = store.nearest(table, vectors[0], 20, ("source", "path"), where=where, approximate=way)
    assert {row["path"] for row in found} == set(far)


def test_no_index_is_kept_that_finds_too_little(
    filled: tuple[Store, str], vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(monkeypatch)
    monkeypatch.setattr(approximate, "RECALL", 1.1)
    monkeypatch.setattr(approximate, "KINDS", ("IVF_RQ",))
    said: list[str] = []
    assert choose(*filled, vectors[:4], said.append)["kind"] == ""
    assert "no approximate index finds" in said[0]


def test_rows_that_came_later_are_found_too(
    filled: tuple[Store, str], vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(monkeypatch)
    store, table = filled
    choice = choose(store, table, vectors[:16], lambda line: None)
    late = np.ones(WIDTH, np.float32) / np.sqrt(WIDTH)
    store.put(table, [{"source": "s", "path": "late", "vector": late}], known=False)
    assert store.nearest(table, late, 1, ("source", "path"), approximate=choice)[0]["path"] == "late"
    store.tidy(table)
    assert store.nearest(table, late, 1, ("source", "path"), approximate=choice)[0]["path"] == "late"
