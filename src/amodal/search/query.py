"""What is asked: terms with weights, and what is found: a page of results, near-duplicates together."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from amodal.core.errors import UsageError
from amodal.data.looks import AGREE, CELLS, FLAT, GREY_SIDE, RADIUS, alike, distance
from amodal.data.pictures import PICTURE_SUFFIXES

_WEIGHT = re.compile(r"^(?P<what>.*(?:[^\s\d]|\S\s))\s*:\s*(?P<weight>\d*\.?\d+)$", re.DOTALL)
"""Of "snow:0.5", but not of "the clock at 10:30": behind a figure the colon needs a space before it."""

_GREY, _COLOUR = GREY_SIDE**2, 2 * CELLS**2
Order = Literal["score", "date"]


class Words(str):
    """Words that are never taken for the name of a file."""


@dataclass(frozen=True)
class Term:
    """A part of a query. what: words, a picture in any form, or its unit vector (D,); weight: below zero takes it
    away."""

    what: Any
    weight: float = 1.0

    @property
    def words(self) -> str:
        """Its words; "" for a picture."""
        if isinstance(self.what, Words):
            return self.what
        return self.what if isinstance(self.what, str) and not is_picture(self.what) else ""


@dataclass(frozen=True)
class Result:
    """A picture that was found.

    path: its file, or its key where it has none; content: SHA-256 of its bytes; score: cosine with the query, None
    where nothing was asked for; probability: that it belongs to the query, None without calibration; exact: whether the
    words stand in its name, captions or tags; copies: near-duplicates that are not listed; kept: its attributes; weak:
    whether it is below the line of a good match, as all are where nothing fits.
    """

    path: str
    content: str
    score: float | None
    probability: float | None = None
    exact: bool = False
    copies: tuple[str, ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)
    weak: bool = False

    def line(self) -> str:
        """For people: path, score, and what else is to know."""
        chance = "" if self.probability is None else f"  {self.probability:.0%}"
        score = "" if self.score is None else f"  {self.score:.3f}"
        notes = (
            ["by name"] * self.exact
            + ["weak"] * self.weak
            + ([f"and {len(self.copies)} like it"] if self.copies else [])
        )
        return f"{self.path}{score}{chance}{'  (' + ', '.join(notes) + ')' if notes else ''}"

    def to_json(self) -> dict[str, Any]:
        """As `amodal search --json` prints it."""
        score = None if self.score is None else round(self.score, 4)
        kept = {name: _plain(value) for name, value in self.kept.items()}
        return {**vars(self), "score": score, "copies": list(self.copies), "kept": kept}


@dataclass(frozen=True)
class Page:
    """A page of results. total: pictures among which these are the first, all that pass filter and cut-off; more:
    whether a further page has any; no_match: whether nothing fits, None without calibration; notes: what to know."""

    results: tuple[Result, ...]
    page: int
    total: int
    more: bool
    no_match: bool | None = None
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Any:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def summary(self) -> str:
        """For people: which page this is, of how many pictures."""
        told = f"page {self.page}: {len(self)} results, of {self.total:,} pictures in all"
        cosines = any(each.score is not None and each.probability is None for each in self)
        told += "; scores are cosines" if cosines else ""
        told += f"; more with --page {self.page + 1}" if self.more else ""
        return f"no good match; {told}" if self.no_match else told

    def to_json(self) -> dict[str, Any]:
        """As `amodal search --json` prints it."""
        plain = {**vars(self), "results": [result.to_json() for result in self.results]}
        return {"results": plain.pop("results"), "no_match": plain.pop("no_match"), **plain, "notes": list(self.notes)}


def term(text: Any, sign: float = 1.0) -> Term:
    """A term of words or a picture, with its weight behind a colon: "a dog", "cat.jpg", "snow:0.5"."""
    if isinstance(text, Term):
        return Term(text.what, sign * text.weight)
    if isinstance(text, str):
        found = _WEIGHT.match(text)
        if found is not None and not Path(text).exists():
            return Term(found["what"], sign * float(found["weight"]))
        if not text.strip():
            raise UsageError("a term of the query is empty; give words or a picture")
    elif text is None or isinstance(text, int | float):
        raise UsageError(f"a term of the query is words or a picture, and not {text!r}")
    return Term(text, sign)


def is_picture(text: str) -> bool:
    """Whether a term names a picture file. Raises UsageError for the path of one that is not there, and for a file that
    is no picture; a mere name is looked for like any words."""
    path = Path(text)
    is_there = bool(path.suffix) and "\n" not in text and path.is_file()
    if path.suffix.lower() in PICTURE_SUFFIXES:
        if not is_there and len(path.parts) > 1:
            raise UsageError(f"there is no picture {text}; check the path")
        return is_there
    if is_there:
        raise UsageError(f"{text} is a file and no picture that can be read; save it as JPEG or PNG")
    return False


def combined(terms: Sequence[Term], vectors_TD: np.ndarray) -> np.ndarray:
    """The unit vector of the weighted sum. -> (D,) Raises UsageError where the terms take each other away."""
    vector_D = np.array([each.weight for each in terms]) @ vectors_TD
    length = float(np.linalg.norm(vector_D))
    if length < 1e-6:
        raise UsageError("the terms take each other away, and nothing is left to search for; change a weight")
    return vector_D / length


class Copies:
    """Near-duplicates of what came before: each result leads a group or joins that of the first one it looks like."""

    def __init__(self) -> None:
        self._places: list[int] = []
        self._hash = np.empty(0, np.uint64)
        self._grey, self._colour = np.empty((0, _GREY), np.uint8), np.empty((0, _COLOUR), np.uint8)

    def leader(self, look: bytes | None, place: int) -> int:
        """The place of the result that this one is a near-duplicate of, its own where there is none."""
        if look is None:
            return place
        head, flat = np.frombuffer(look, np.uint64, 1), np.frombuffer(look, "<f8", 1, 8)[0] < FLAT
        grey, colour = (np.frombuffer(look, np.uint8, size, 16 + at) for size, at in ((_GREY, 0), (_COLOUR, _GREY)))
        if flat:
            return place
        near = np.flatnonzero(distance(self._hash, np.broadcast_to(head, self._hash.shape)) <= RADIUS)
        if len(near):
            same = [np.broadcast_to(each, (len(near), len(each))) for each in (grey, colour)]
            agreement = alike(self._grey[near], same[0], self._colour[near], same[1])
            if agreement.max() >= AGREE:
                return self._places[near[int(agreement.argmax())]]
        self._places.append(place)
        self._hash = np.append(self._hash, head)
        self._grey, self._colour = np.vstack([self._grey, grey]), np.vstack([self._colour, colour])
        return place


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
