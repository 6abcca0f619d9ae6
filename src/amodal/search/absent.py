"""Texts that no picture of a library goes with: nonsense, and captions from other walks of life."""

import random
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_ONSETS = (
    "b",
    "bl",
    "br",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "r",
    "s",
    "sk",
    "st",
    "t",
    "tr",
)
_NUCLEI = ("a", "e", "i", "o", "u", "oo", "ai", "ee")
_CODAS = ("", "", "n", "k", "sh", "ld", "rp")
_KEYS = "abcdefghijklmnopqrstuvwxyz0123456789"


class _Field(NamedTuple):
    """A grammar. marks: words by which data are known to be of this field themselves."""

    marks: tuple[str, ...]
    templates: tuple[str, ...]
    fillers: dict[str, tuple[str, ...]]


_FIELDS = (
    _Field(
        ("radiograph", "radiology", "histology", "ultrasound"),
        (
            "radiograph of the {part} with {finding}",
            "axial CT slice through the {part}, {finding}",
            "histology slide of the {part} stained with eosin, {finding}",
            "ultrasound of the {part} showing {finding}",
        ),
        {
            "part": ("left lung", "knee joint", "lumbar spine", "liver", "left ventricle", "thyroid gland", "kidney"),
            "finding": ("a small effusion", "no acute findings", "a hairline fracture", "moderate stenosis", "oedema"),
        },
    ),
    _Field(
        ("chart", "histogram", "plot"),
        (
            "line chart of {one} against {other}",
            "scatter plot of {one} by {other}",
            "table of {one} and {other} for each quarter",
            "histogram of {one} for every {other}",
        ),
        {
            "one": ("revenue", "latency", "unemployment", "gene expression", "memory use", "inflation"),
            "other": ("year", "region", "age group", "cluster size", "price band", "test site"),
        },
    ),
    _Field(
        ("satellite",),
        (
            "satellite image of {place} in {when}",
            "false-colour composite of {place}, {when}",
            "digital elevation model of {place} in {when}",
        ),
        {
            "place": (
                "a river delta",
                "an irrigated plain",
                "a container terminal",
                "a glacier tongue",
                "a mangrove coast",
            ),
            "when": ("the near infrared", "the dry season", "2014", "the first survey", "winter light"),
        },
    ),
    _Field(
        ("schematic", "datasheet"),
        (
            "schematic of a {part} with {detail}",
            "datasheet page about a {part} and {detail}",
            "cross section of a {part} showing {detail}",
        ),
        {
            "part": ("voltage regulator", "gearbox", "heat exchanger", "centrifugal pump", "phase-locked loop"),
            "detail": (
                "pin assignments",
                "tolerances in millimetres",
                "a feedback path",
                "mounting torque",
                "seal wear",
            ),
        },
    ),
)


def nonsense(count: int, seed: int) -> list[str]:
    """`count` texts without meaning: two of three are one to four invented words of two or three syllables, one is 5 to
    12 letters and digits as a cat on the keyboard gives them. The same for the same seed."""
    draw = random.Random(f"nonsense {seed}")
    return [_keys(draw) if number % 3 == 2 else _invented(draw) for number in range(count)]


def foreign(count: int, seed: int, known: Iterable[str] = ()) -> list[str]:
    """Up to `count` different captions of radiology, charts, satellites and engineering, by turns, made from a grammar.

    known: captions of the data at hand. A field whose own words (radiograph, chart, satellite, schematic ...) these use
    is left out, since its captions might not be absent there; with none left the list is empty.
    """
    draw, words = random.Random(f"foreign {seed}"), {word for text in known for word in _words(text)}
    left = [field for field in _FIELDS if not words & set(field.marks)]
    found: dict[str, None] = {}
    for number in range(8 * count if left else 0):
        field = left[number % len(left)]
        said = {name: draw.choice(options) for name, options in field.fillers.items()}
        found.setdefault(draw.choice(field.templates).format(**said))
        if len(found) == count:
            break
    return list(found)


def _invented(draw: random.Random) -> str:
    def word() -> str:
        syllables = (draw.choice(_ONSETS) + draw.choice(_NUCLEI) for _ in range(draw.randint(2, 3)))
        return "".join(syllables) + draw.choice(_CODAS)

    return " ".join(word() for _ in range(draw.randint(1, 4)))


def _keys(draw: random.Random) -> str:
    return "".join(draw.choice(_KEYS) for _ in range(draw.randint(5, 12)))


def _words(text: str) -> Sequence[str]:
    return re.findall(r"[^\W_]+", text.casefold())
