"""An index of pictures, open to be asked: words, pictures and filters in, pages of results out.

T terms · D width of the joint space
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, get_args

import numpy as np

from amodal.core.errors import DataError, UsageError
from amodal.data.languages import not_known
from amodal.data.pictures import picture_ref
from amodal.data.rows import Row, SkipLog, Skipped
from amodal.search.calibration import BEST, Spread
from amodal.search.embedder import Embedder
from amodal.search.layout import AttributeType, Settings, Version, attribute_type, quoted
from amodal.search.meaning import Meaning
from amodal.search.query import Copies, Order, Page, Result, Term, combined, term
from amodal.search.rows import words_of
from amodal.search.store import Store

AT_ONCE = 64
"""Rows that are asked for at first."""

SAMPLED = 4096
"""Vectors that tell how cosines lie over a whole table."""

_HIDDEN = ("source", "path", "file", "mark", "content", "words", "vector", "look", "score")
_SMALL_WORDS = frozenset(
    ["a", "an", "and", "at", "by", "for", "from", "in", "is", "it", "of", "on", "or", "the", "to", "with"]
)


class Index:
    """An index at a folder or an object store's URL. Searched as it is at that moment, while it grows too.

    embedder: the model that made it, opened when the first question needs it; with its calibration a query of words
    alone is answered by probabilities, and by whether anything fits. Raises DataError where there is no index, and when
    it is asked with another model.
    """

    def __init__(self, where: str, embedder: Callable[[Settings], Embedder]) -> None:
        self.where = where
        self._open, self.store = embedder, Store(where)
        self._sample: tuple[tuple[str, int], np.ndarray] | None = None

    def __repr__(self) -> str:
        return f"amodal.search.Index({self.where!r})"

    def __len__(self) -> int:
        return self.store.count(self._table[0])

    def count(self, where: str) -> int:
        """Pictures that pass a filter. Raises UsageError for a wrong one."""
        return self.store.count(self._table[0], where.strip())

    @property
    def versions(self) -> list[Version]:
        """The times when it was complete."""
        return self.store.versions()

    @property
    def settings(self) -> Settings:
        """What the pictures that answer were indexed with."""
        return self._table[1]

    @property
    def attributes(self) -> dict[str, AttributeType]:
        """What `where` may ask for, and of what type each is."""
        columns = self.store.columns(self._table[0])
        return {each.name: attribute_type(each.type) for each in columns if each.name not in (*_HIDDEN, "date")}

    @property
    def skipped(self) -> list[Skipped]:
        """What could not be read, by path."""
        found = [self.store.skipped(source) for source in self.settings.sources]
        return sorted(Skipped(path, why) for each in found for path, (_, why) in each.items())

    def by_content(self, content: str) -> list[Result]:
        """The pictures with these bytes (their SHA-256), by source and path, without a score; none where there are
        none."""
        table = self._table[0]
        rows = self.store.rows(table, _read_columns(self.store, table), where=f"content = {quoted(content)}")
        ordered = sorted(rows, key=lambda row: (row["source"], row["path"]))
        return [_result([{**row, "score": None}]) for row in ordered]

    def vectors(self, contents: Sequence[str]) -> dict[str, np.ndarray]:
        """content -> unit vector (D,), of the contents that are there; as they are kept, in float16."""
        found = self.store.by_content(self._table[0], set(contents))
        vectors = {content: np.asarray(row["vector"], np.float32) for content, row in found.items()}
        return {content: vector_D / np.linalg.norm(vector_D) for content, vector_D in vectors.items()}

    @property
    def _table(self) -> tuple[str, Settings]:
        found = self.store.growing()
        if found is None:
            raise DataError(f"{self.where} holds no picture yet; fill it with: amodal index FOLDER --out {self.where}")
        return found

    def search(
        self,
        query: Any = (),
        *,
        minus: Any = (),
        where: str = "",
        top: int = 10,
        page: int = 1,
        sort: Order = "score",
        at_least: float | None = None,
        probability_at_least: float | None = None,
    ) -> Page:
        """The pictures that fit best.

        query: words, a picture (path, bytes, PIL image or its vector), or a list of such terms, which are added;
        "snow:0.5" weighs half. minus: terms that are taken away. A "not" within a sentence is poorly understood: take
        the word away. Without a query everything that passes `where` is listed.
        where: a filter on attributes in SQL, as "year > 2015 AND camera LIKE 'Canon%'"; top: results a page;
        sort: "date" lists the newest first, with at_least all that pass it, else those of the page; at_least: cosine
        below which a picture is left out; probability_at_least: the same for the chance that it belongs to the query,
        of words alone and with a calibrated model. Pictures whose name, captions or tags hold all the words come before
        others and are not left out. Near-duplicates are listed with the first of them. Raises UsageError and DataError.
        """
        if top < 1 or page < 1 or sort not in get_args(Order):
            raise UsageError(f"top and page start at 1 and sort is score or date; got {top}, {page} and {sort!r}")
        table, settings = self._table
        terms = [*_terms(query, 1.0), *_terms(minus, -1.0)]
        asked = _Asked(self.store, table, settings, where.strip(), at_least)
        if terms:
            asked = asked.about(self._vector(terms), _exactly(terms))
        meaning = None
        if probability_at_least is not None:
            meaning = self._meaning(asked, terms)
            asked = asked.likely(meaning, probability_at_least)
        ordered = sort == "date" and (asked.is_cut or not terms)
        listed, more = _paged(asked.by_date() if ordered else asked.by_score(), top, page)
        if sort == "date" and not ordered:
            listed.sort(key=lambda group: _newest(group[0]))
        results = [_result(group) for group in listed]
        meaning = meaning or self._meaning(asked, terms)  # afterwards, where the best ones are known by then
        return Page(
            results=tuple(_judged(results, meaning) if meaning and results else results),
            page=page,
            total=asked.total,
            more=more,
            no_match=None if meaning is None else meaning.no_match and not asked.any_exact,
            notes=tuple(self._notes(terms)),
        )

    def thumbnail(self, result: Result) -> bytes | None:
        """The JPEG of a result, at most 256 pixels a side; None where there is none."""
        return self.store.thumbnails.get(result.content)

    @cached_property
    def embedder(self) -> Embedder:
        """The model. Raises DataError where it is not the one that made the index."""
        settings = self._table[1]
        model = self._open(settings)
        if model.fingerprint != settings.fingerprint:
            raise DataError(
                f"{self.where} was made with {settings.model} ({settings.fingerprint[:12]}) and cannot be searched "
                f"with {model.name} ({model.fingerprint[:12]}); search with that model, or index again with this one"
            )
        return model

    def _vector(self, terms: Sequence[Term]) -> np.ndarray:
        model = self.embedder
        said = list(dict.fromkeys(each.words for each in terms if each.words))
        known = dict(zip(said, model.texts(said), strict=True)) if said else {}
        vectors = [known[each.words] if each.words else _seen(model, each.what) for each in terms]
        return combined(terms, np.stack(vectors))

    def _meaning(self, asked: "_Asked", terms: Sequence[Term]) -> Meaning | None:
        """What the scores mean; None for any other query than one of words, and without calibration."""
        alone = len(terms) == 1 and terms[0].words and terms[0].weight > 0
        calibration = self.embedder.calibration if alone else None
        return None if calibration is None else Meaning(calibration, *asked.best(), self._spread(asked))

    def _spread(self, asked: "_Asked") -> Spread:
        """How the cosines lie over the whole table, told from some of its vectors, read once for as many as it has."""
        assert asked.query_D is not None
        key = asked.table, self.store.count(asked.table)
        if self._sample is None or self._sample[0] != key:
            self._sample = key, self.store.vectors(asked.table, SAMPLED)
        return Spread.of_scores((self._sample[1] @ asked.query_D)[None])._replace(count=key[1])

    def _notes(self, terms: Sequence[Term]) -> Iterator[str]:
        for each in terms:
            note = not_known(each.words, self.embedder.languages)
            if note:
                yield note


class _Asked:
    """One question: everything that passes it, in an order that does not depend on how much is taken of it."""

    def __init__(self, store: Store, table: str, settings: Settings, where: str, at_least: float | None) -> None:
        self.store, self.table, self.where = store, table, where
        self.way, self.cut = settings.approximate, -2.0 if at_least is None else at_least
        self.columns = _read_columns(store, table)
        self.query_D: np.ndarray | None = None
        self.exact, self.any_exact = "", False  # the filter of hits by name, and whether there was any
        self._first: list[dict[str, Any]] | None = None  # the nearest of all that pass, `AT_ONCE` or all
        self.keeps: Callable[[float], bool] | None = None

    def about(self, query_D: np.ndarray, exact: str) -> "_Asked":
        """The question with a query; exact: the filter of what it hits by its words."""
        self.query_D, self.exact = query_D, exact
        return self

    def likely(self, meaning: Meaning | None, probability: float) -> "_Asked":
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
            return self.store.count(self.table, self.where)
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
        return iter(sorted(self.by_score(), key=_newest))

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


def _read_columns(store: Store, table: str) -> list[str]:
    """What a result is made of."""
    return [name for name in store.columns(table).names if name not in ("vector", "mark", "words")]


def _paged(rows: Iterator[dict[str, Any]], top: int, page: int) -> tuple[list[list[dict[str, Any]]], bool]:
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


def _result(group: list[dict[str, Any]]) -> Result:
    first = group[0]
    kept = {name: value for name, value in first.items() if name not in (*_HIDDEN, "hit") and value not in (None, [])}
    return Result(
        path=_path(first),
        content=first["content"],
        score=first["score"],
        exact=first.get("hit", False),
        copies=tuple(map(_path, group[1:])),
        kept=kept,
    )


def _judged(results: Sequence[Result], meaning: Meaning) -> list[Result]:
    """The results with their probabilities."""
    score_K = np.array([each.score for each in results], np.float64)
    chance_K = meaning.probability(score_K)
    told = zip(results, chance_K.tolist(), meaning.weak(score_K, chance_K).tolist(), strict=True)
    return [replace(each, probability=chance, weak=weak and not each.exact) for each, chance, weak in told]


def _path(row: dict[str, Any]) -> str:
    return row["file"] or row["path"]


def _newest(row: dict[str, Any]) -> tuple[float, str, str]:
    date = row["date"]
    return (float("inf") if date is None else -date.timestamp(), row["source"], row["path"])


def _terms(given: Any, sign: float) -> list[Term]:
    several = given if isinstance(given, list | tuple) else [given]
    return [term(each, sign) for each in several]


def _seen(model: Embedder, picture: Any) -> np.ndarray:
    if isinstance(picture, np.ndarray):
        return picture
    skipped = SkipLog(limit=1.0)
    row = Row(key="the query", picture=picture_ref(picture), captions=("the query",), pair="")
    vector_ND, kept = model.images([row], skipped)
    if not kept:
        raise DataError(f"the query cannot be read: {skipped.entries[0].reason}")
    return vector_ND[0]


def _exactly(terms: Sequence[Term]) -> str:
    """The filter of pictures whose name, captions or tags hold all words and none of those taken away; "" for none."""
    plus = [each for each in terms if each.weight > 0]
    if not plus or not all(each.words for each in plus):
        return ""
    wanted = [word for each in plus for word in _telling(each.words)]
    refused = [word for each in terms if each.weight < 0 for word in _telling(each.words)]
    holds = [f"words LIKE '% {word} %'" for word in dict.fromkeys(wanted)]
    return " AND ".join([*holds, *(f"words NOT LIKE '% {word} %'" for word in dict.fromkeys(refused))]) if holds else ""


def _telling(text: str) -> list[str]:
    words = words_of(text).split()
    return [word for word in words if word not in _SMALL_WORDS] or words
