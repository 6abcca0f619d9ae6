"""Hard negatives: of each query the most similar candidates that are not its own, guarded against false ones.

Searched in all vectors of a training set and not in the batch alone (ANCE, Xiong et al. 2020). What scores nearly as
the positive does is often a second, unnamed positive and is left out (RocketQA, Qu et al. 2021; with limits relative to
the positive's score as in NV-Retriever, Moreira et al. 2024).

Q queries · C candidates · D width · K asked for
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from amodal.core.errors import DataError
from amodal.metrics import best_matches
from amodal.search.index import Index

NONE = -1
"""In the place of a candidate where there is none."""

_ASKED_FIRST = 4  # times as many as are wanted, since some will be left out
_QUERIES = 1024  # at a time


class Nearest(Protocol):
    """Whatever finds the candidates most similar to a query: exactly, or in an index."""

    def __len__(self) -> int:
        """The most that may be asked for."""
        ...

    def nearest(self, query_QD: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The `count` best of each query, best first. -> places (Q, K) from 0 to C - 1 or `NONE`, cosines (Q, K)"""
        ...


@dataclass(frozen=True)
class Exact:
    """Every candidate (C, D) compared, in blocks of memory."""

    vector_CD: np.ndarray

    def __len__(self) -> int:
        return len(self.vector_CD)

    def nearest(self, query_QD: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """As `Nearest` says."""
        return best_matches(query_QD, self.vector_CD, count)


class Indexed:
    """The pictures of an `amodal index` as candidates, by its approximate search where it has one.

    contents: SHA-256 of the picture of each candidate; one that the index does not hold is never found. Its vectors are
    of the model that made it, and the queries must be, too. Raises DataError when it holds none of them.
    """

    def __init__(self, index: Index, contents: Sequence[str]) -> None:
        self._index = index
        self._places: dict[str, list[int]] = {}
        for place, content in enumerate(contents):
            self._places.setdefault(content, []).append(place)
        growing = index.store.growing()
        if growing is None or not self._places.keys() & index.store.contents(growing[0]):
            raise DataError(f"{index.where} holds none of these pictures; index them with: amodal index DATA")
        self._table, settings = growing
        self._way: Mapping[str, Any] | None = settings.approximate

    def __len__(self) -> int:
        return self._index.store.count(self._table)

    def nearest(self, query_QD: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """As `Nearest` says; pictures of the index that are no candidates are passed over."""
        place_QK = np.full((len(query_QD), count), NONE, dtype=np.int64)
        score_QK = np.full((len(query_QD), count), -np.inf, dtype=np.float32)
        for number, query_D in enumerate(query_QD):
            columns = ["source", "path", "content"]
            rows = self._index.store.nearest(self._table, query_D, count, columns, approximate=self._way)
            found = {place: row["score"] for row in rows for place in self._places.get(row["content"], ())}
            kept = list(found)[:count]
            place_QK[number, : len(kept)] = kept
            score_QK[number, : len(kept)] = [found[place] for place in kept]
        return place_QK, score_QK


class Guard(NamedTuple):
    """What is taken for a false negative: a candidate whose score reaches `share` of the positive's, or comes within
    `margin` of it. Above 1 and below 0 they let in what scores higher than the positive, up to so far above it."""

    share: float = 0.95
    margin: float = 0.0

    def limit(self, positive_Q: np.ndarray) -> np.ndarray:
        """The score that a negative must stay below. -> (Q,)"""
        return positive_Q - np.maximum((1 - self.share) * np.abs(positive_Q), self.margin)


def mine(
    source: Nearest,
    query_QD: np.ndarray,
    query_id_Q: np.ndarray,
    candidate_id_C: np.ndarray,
    positive_Q: np.ndarray,
    *,
    count: int,
    guard: Guard,
) -> np.ndarray:
    """The `count` hardest negatives of each query, hardest first. -> places (Q, K), `NONE` behind the last

    query_QD: unit length; query_id_Q, candidate_id_C: what is equal belongs together and is never a negative;
    positive_Q: the cosine of each query with its positive; guard: see `Guard`. Where the guard leaves fewer than
    `count`, more candidates are asked for, until all were.
    """
    limit_Q = guard.limit(positive_Q)
    mined_QK = np.full((len(query_QD), count), NONE, dtype=np.int64)
    for start in range(0, len(query_QD), _QUERIES):
        waiting, asked = np.arange(start, min(start + _QUERIES, len(query_QD))), _ASKED_FIRST * count
        while len(waiting):
            place_QA, score_QA = source.nearest(query_QD[waiting], min(asked, len(source)))
            own_QA = candidate_id_C[place_QA] == query_id_Q[waiting, None]
            fits_QA = (place_QA != NONE) & ~own_QA & (score_QA < limit_Q[waiting, None])
            order_QK = np.argsort(~fits_QA, axis=1, kind="stable")[:, :count]
            fits_QK, place_QK = (np.take_along_axis(x, order_QK, axis=1) for x in (fits_QA, place_QA))
            mined_QK[waiting, : place_QK.shape[1]] = np.where(fits_QK, place_QK, NONE)
            waiting = waiting[fits_QA.sum(axis=1) < count] if asked < len(source) else waiting[:0]
            asked *= 4
    return mined_QK
