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
from amodal.search.asked import Asked, exactly, newest, paged, read_columns
from amodal.search.calibration import Spread
from amodal.search.embedder import Embedder
from amodal.search.layout import HIDDEN, AttributeType, Settings, Version, attribute_type, quoted
from amodal.search.meaning import Meaning
from amodal.search.query import Order, Page, Result, Term, combined, term
from amodal.search.store import Store

SAMPLED = 4096
"""Vectors that tell how cosines lie over a whole table."""


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
        return {each.name: attribute_type(each.type) for each in columns if each.name not in (*HIDDEN, "date")}

    @property
    def skipped(self) -> list[Skipped]:
        """What could not be read, by path."""
        found = [self.store.skipped(source) for source in self.settings.sources]
        return sorted(Skipped(path, why) for each in found for path, (_, why) in each.items())

    def by_content(self, content: str) -> list[Result]:
        """The pictures with these bytes (their SHA-256), by source and path, without a score; none where there are
        none."""
        table = self._table[0]
        rows = self.store.rows(table, read_columns(self.store, table), where=f"content = {quoted(content)}")
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
        if at_least is not None and not -1 <= at_least <= 1:
            raise UsageError(f"a cosine lies between -1 and 1; got {at_least}")
        terms = [*_terms(query, 1.0), *_terms(minus, -1.0)]
        asked = Asked(self.store, table, settings, where.strip(), at_least)
        if terms:
            asked = asked.about(self._vector(terms), exactly(terms))
        meaning = None
        if probability_at_least is not None:
            meaning = self._meaning(asked, terms)
            asked = asked.likely(meaning, probability_at_least)
        ordered = sort == "date" and (asked.is_cut or not terms)
        listed, more = paged(asked.by_date() if ordered else asked.by_score(), top, page)
        if sort == "date" and not ordered:
            listed.sort(key=lambda group: newest(group[0]))
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

    def _meaning(self, asked: Asked, terms: Sequence[Term]) -> Meaning | None:
        """What the scores mean; None for any other query than one of words, and without calibration."""
        alone = len(terms) == 1 and terms[0].words and terms[0].weight > 0
        calibration = self.embedder.calibration if alone else None
        return None if calibration is None else Meaning(calibration, *asked.best(), self._spread(asked))

    def _spread(self, asked: Asked) -> Spread:
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


def _result(group: list[dict[str, Any]]) -> Result:
    first = group[0]
    kept = {
        name: value
        for name, value in first.items()
        if name not in (*HIDDEN, "score", "hit") and value not in (None, [])
    }
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
