"""Mining against brute force, who is never mined, and an index as the source."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amodal.core.errors import DataError
from amodal.search import NONE, Exact, Guard, Indexed, mine

OPEN = Guard(share=1e9, margin=-2.0)
"""Leaves nothing out."""


def unit(draw: np.random.Generator, *shape: int) -> np.ndarray:
    values = draw.normal(size=shape)
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def brute_force(
    query: np.ndarray, other: np.ndarray, query_id: np.ndarray, other_id: np.ndarray, limit: np.ndarray, count: int
) -> np.ndarray:
    found = np.full((len(query), count), NONE)
    for row in range(len(query)):
        score = other @ query[row]
        order = [c for c in np.argsort(-score) if other_id[c] != query_id[row] and score[c] < limit[row]][:count]
        found[row, : len(order)] = order
    return found


@pytest.mark.parametrize(
    ("share", "margin"), [(1e9, -2.0), (1.0, 0.0), (0.95, 0.0), (0.5, 0.0), (1.0, 0.3), (0.1, 0.9), (1.2, -0.1)]
)
def test_it_finds_what_brute_force_finds(share: float, margin: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs of two to three rows, more queries than go at once, guards from none to nearly all."""
    monkeypatch.setattr("amodal.search.mining._QUERIES", 50)
    draw = np.random.default_rng(0)
    query, other = unit(draw, 130, 6), unit(draw, 170, 6)
    query_id, other_id = draw.integers(0, 60, 130), draw.integers(0, 60, 170)
    positive = draw.uniform(-0.2, 0.9, 130)
    limit = positive - np.maximum((1 - share) * abs(positive), margin)
    found = mine(Exact(other), query, query_id, other_id, positive, count=5, guard=Guard(share, margin))
    np.testing.assert_array_equal(found, brute_force(query, other, query_id, other_id, limit, 5))
    assert (found != NONE).any()
    assert (found == NONE).any() or margin < 0.9


def test_a_planted_duplicate_is_never_mined() -> None:
    """A row under another id with almost the vectors of the first: by its score it is the hardest of all."""
    draw = np.random.default_rng(1)
    image, text = unit(draw, 40, 16), unit(draw, 40, 16)
    image[1:20] += 0.7 * image[0]  # hard ones, further away
    text[0] = image[0] + 0.3 * text[0]
    image[30] = image[0] + 0.01 * image[30]
    for side in (image, text):
        side /= np.linalg.norm(side, axis=1, keepdims=True)
    ids, positive = np.arange(40), (image * text).sum(1)
    found = {guard: mine(Exact(image), text, ids, ids, positive, count=8, guard=guard)[0] for guard in (OPEN, Guard())}
    assert found[OPEN][0] == 30
    assert 30 not in found[Guard()]
    assert set(found[Guard()]) <= set(range(1, 20))


def test_the_guard_is_relative_absolute_or_both() -> None:
    positive = np.array([0.8, 0.2, -0.1])
    np.testing.assert_allclose(Guard(0.95).limit(positive), [0.76, 0.19, -0.105])
    np.testing.assert_allclose(Guard(1.0, 0.1).limit(positive), [0.7, 0.1, -0.2])
    np.testing.assert_allclose(Guard(1.5, -0.2).limit(positive), [1.0, 0.3, -0.05])
    np.testing.assert_allclose(Guard(0.95, 0.02).limit(positive), [0.76, 0.18, -0.12])


def test_fewer_than_asked_for_leave_none_behind() -> None:
    vectors = np.eye(3, dtype=np.float32)
    ids = np.array([0, 0, 1])
    found = mine(Exact(vectors), vectors, ids, ids, np.ones(3), count=2, guard=Guard())
    assert found.tolist() == [[2, NONE], [2, NONE], [0, 1]]


def test_an_index_gives_what_its_pictures_give(library: Any) -> None:
    """Pictures of the index that are no candidates, and candidates that it lacks, are passed over."""
    library.update()
    paths = sorted(library.folder.rglob("*.png"))[:-3]
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    vectors = library.model.images([_row(path) for path in paths], None)[0]
    ids = np.array([0, 1, 2, *range(2, len(paths) - 1)])
    positive = np.full(len(paths), 0.999)
    exact, indexed = (
        mine(source, vectors, ids, ids, positive, count=3, guard=Guard(share=0.9))
        for source in (Exact(vectors), Indexed(library.index(), [*contents[:-1], "0" * 64]))
    )
    last = len(paths) - 1
    assert last in exact
    assert last not in indexed
    kept = [row for row in range(last) if last not in exact[row]]
    assert len(kept) >= 2
    score = vectors @ vectors.T
    for row in kept:  # vectors lie in the index as float16: near ties may change places
        np.testing.assert_allclose(score[row, indexed[row]], score[row, exact[row]], atol=2e-3)
        assert (ids[indexed[row]] != ids[row]).all()
    with pytest.raises(DataError, match="holds none of these pictures"):
        Indexed(library.index(), ["0" * 64])


def _row(path: Path) -> Any:
    from amodal.data.pictures import FileRef
    from amodal.data.rows import Row

    return Row(key=path.name, picture=FileRef(path), captions=("a",), pair=path.name)
