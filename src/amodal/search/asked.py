"""One question to an index: everything that passes it, best or newest first, and its pages.

D width of the joint space · B best cosines of a query · K scores
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from amodal.core.errors import UsageError
from amodal.data.pictures import PICTURE_SUFFIXES
from amodal.search.calibration import BEST
from amodal.search.layout import Settings
from amodal.search.meaning import Meaning
from amodal.search.query import Copies, Term
from amodal.search.rows import words_of
from amodal.search.store import Store

AT_ONCE = 64
"""Rows that are asked for at first."""

_SMALL_WORDS = frozenset(
    ["a", "an", "and", "at", "by", "for", "from", "in", "is", "it", "of", "on", "or", "the", "to", "with"]
)


class Asked:
    """One question: everything that passes it, in an order that does not depend on how much is taken of it."""

    def __init__(self, store: Store, table: str, settings: Settings, where: str, at_least: float | None) -> None:
        self.store, self.table, self.where = store, table, where
        self.way, self.cut = settings.approximate, -2.0 if at_least is None else at_least
        self.passing = store.count(table, where)  # before all else: what is wrong with a filter is told of it alone
        self.columns = read_columns(store, table)
        self.query_D: np.ndarray | None = None
        self.exact, self.any_exact = "", False  # the filter of hits by name, and whether there was any
        self._first: list[dict[str, Any]] | None = None  # the nearest of all that pass, `AT_ONCE` or all
        self.keeps: Callable[[float], bool] | None = None

    def about(self, query_D: np.ndarray, exact: str) -> "Asked":
        """The question with a query; exact: the filter of what it hits by its words."""
        self.query_D, self.exact = query_D, exact
        return self

    def likely(self, meaning: Meaning | None, probability: float) -> "Asked":
        """The question, with answers that are at least so likely right, and exact hits. Raises UsageError."""
        if meaning is None:
            raise UsageError(
                "a probability can be asked for with a query of words alone, and a model that is calibrated; "
                "without, give the cosine below which a picture is left out"
            )
        self.cut = max(self.cut, meaning.cosine(probability) - 1e-6)
        self.keeps = lambda score: bool(meaning.passes(np.array([score]), probability)[0])
        return self

    @property
    def is_cut(self) -> bool:
        """Whether pictures that fit too little are left out."""
        return self.cut > -2

    @cached_property
    def total(self) -> int:
        """Pictures that pass."""
        if self.query_D is None or not self.is_cut:
            return self.passing
        return sum(1 for _ in self.by_score())

    def by_score(self) -> Iterator[dict[str, Any]]:
        """Exact hits and then the others, best first; without a query by path."""
        if self.query_D is None:
            rows = self.store.listed(self.table, self.columns, where=self.where)
            yield from ({**row, "score": None} for row in rows)
            return
        hits = set[tuple[str, str]]()
        for row in self._named():
            self.any_exact = True
            hits.add((row["source"], row["path"]))
            yield {**row, "hit": True}
        for row in self._growing():
            if (row["source"], row["path"]) not in hits and (self.keeps is None or self.keeps(row["score"])):
                yield row

    @property
    def _hits(self) -> str:
        return f"({self.where}) AND ({self.exact})" if self.where else self.exact

    def best(self) -> tuple[np.ndarray, float | None]:
        """The highest cosines of the whole table, best first, and the highest that passes the filter.

        -> (at most BEST,), and None where nothing passes
        """
        passing = self._passing(self.where)
        return (self._passing("") if self.where else passing), max(passing, default=None)

    def _passing(self, where: str) -> np.ndarray:
        rows = self._first if where == self.where else None
        if rows is None or (self.is_cut and len(rows) < BEST):  # what is less similar was left out
            assert self.query_D is not None
            ways = {"where": where, "approximate": self.way}
            rows = self.store.nearest(self.table, self.query_D, BEST, ["source", "path"], **ways)
        return -np.sort([-row["score"] for row in rows])[:BEST]

    def by_date(self) -> Iterator[dict[str, Any]]:
        """Everything that passes, the newest first."""
        if self.query_D is None:
            rows = self.store.listed(self.table, self.columns, where=self.where, newest=True)
            return ({**row, "score": None} for row in rows)
        return iter(sorted(self.by_score(), key=newest))

    def _named(self) -> Iterator[dict[str, Any]]:
        """Rows that are hit by their words, nearest first; each is looked for, wherever an index has put it."""
        if not self.exact:
            return iter(())
        assert self.query_D is not None
        return self.store.ranked(self.table, self.query_D, self.columns, where=self._hits)

    def _growing(self) -> Iterator[dict[str, Any]]:
        """Rows nearest first; more are asked for as more are taken, in steps that are always the same."""
        assert self.query_D is not None
        given, wanted = set[tuple[str, str]](), AT_ONCE
        while True:
            rows = self.store.nearest(
                self.table,
                self.query_D,
                wanted,
                self.columns,
                where=self.where,
                at_least=self.cut,
                approximate=self.way,
            )
            if self._first is None:
                self._first = rows
            whole = len(rows) < wanted
            for row in rows:
                key = row["source"], row["path"]
                # the last ones of a full answer may tie with some that are not in it
                if key not in given and (whole or row["score"] > rows[-1]["score"]):
                    given.add(key)
                    yield row
            if whole:
                return
            wanted *= 4


def read_columns(store: Store, table: str) -> list[str]:
    """What a result is made of."""
    return [name for name in store.columns(table).names if name not in ("vector", "mark", "words")]


def paged(rows: Iterator[dict[str, Any]], top: int, page: int) -> tuple[list[list[dict[str, Any]]], bool]:
    """The groups of near-duplicates that a page lists, each in order, and whether a further page has any.

    A page has `top` groups. What looks like one on an earlier page begins a group of its own: nothing is on no page.
    """
    number, copies, groups = 1, Copies(), list[list[dict[str, Any]]]()
    for row in rows:
        leader = copies.leader(row["look"], len(groups))
        if leader < len(groups):
            groups[leader].append(row)
            continue
        if len(groups) == top:
            if number == page:
                return groups, True
            number, copies, groups = number + 1, Copies(), []
            copies.leader(row["look"], 0)
        groups.append([row])
    return (groups if number == page else []), False


def newest(row: dict[str, Any]) -> tuple[float, str, str]:
    """What rows are sorted by, for the newest first."""
    date = row["date"]
    return (float("inf") if date is None else -date.timestamp(), row["source"], row["path"])


def exactly(terms: Sequence[Term]) -> str:
    """The filter of pictures whose name, captions or tags hold all words and none of those taken away; "" for none."""
    plus = [each for each in terms if each.weight > 0]
    if not plus or not all(each.words for each in plus):
        return ""
    wanted = [word for each in plus for word in _telling(each.words)]
    refused = [word for each in terms if each.weight < 0 for word in _telling(each.words)]
    holds = [f"words LIKE '% {word} %'" for word in dict.fromkeys(wanted)]
    return " AND ".join([*holds, *(f"words NOT LIKE '% {word} %'" for word in dict.fromkeys(refused))]) if holds else ""


def _telling(text: str) -> list[str]:
    name, ending = os.path.splitext(text)
    words = words_of(name if ending.lower() in PICTURE_SUFFIXES else text).split()
    return [word for word in words if word not in _SMALL_WORDS] or words
