"""What the tables of an index look like, and what is written in them about it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pyarrow as pa

FORMAT = 1
"""Of the tables that this version writes; another is refused."""

BUILT_IN = pa.schema(
    [
        ("source", pa.string()),
        ("path", pa.string()),
        ("file", pa.string()),
        ("mark", pa.string()),
        ("content", pa.string()),
        ("captions", pa.list_(pa.string())),
        ("words", pa.string()),
        ("date", pa.timestamp("s")),
        ("taken", pa.timestamp("s")),
        ("year", pa.float64()),
        ("camera", pa.string()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("look", pa.binary()),
    ]
)
HIDDEN = ("source", "path", "file", "mark", "content", "words", "vector", "look")
"""Columns that are no attributes."""

BY_CONTENT = ("vector", "look")
"""Columns that a picture's content alone decides, and that cost a model and a decoding."""

AttributeType = Literal["text", "number", "date", "texts"]
_SAID_BY_TABLES = ("taken", "year", "camera", "latitude", "longitude")
LOG = pa.schema(
    [
        ("number", pa.int64()),
        ("table", pa.string()),
        ("version", pa.int64()),
        ("created", pa.string()),
        ("pictures", pa.int64()),
        ("did", pa.string()),
        ("settings", pa.string()),
    ]
)
LEFT_OUT = pa.schema([(name, pa.string()) for name in ("source", "path", "mark", "reason")])


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a table was made with and how it is searched.

    model: its name; origin: what opens it again; revision: of its files; approximate: see `approximate.Choice`.
    """

    model: str
    origin: str
    revision: str
    fingerprint: str
    dimension: int
    place: bool = False
    sources: tuple[str, ...] = ()
    approximate: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Version:
    """A time when the index was complete. did: what the run did, in words."""

    number: int
    table: str
    version: int
    created: str
    pictures: int
    did: str
    settings: Settings

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return asdict(self)


def attribute_type(kind: pa.DataType) -> AttributeType:
    """What people call the type of a column."""
    if pa.types.is_list(kind):
        return "texts"
    if pa.types.is_timestamp(kind):
        return "date"
    return "number" if pa.types.is_floating(kind) or pa.types.is_integer(kind) else "text"


def quoted(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def column_of(attribute: str) -> str:
    """The column that an attribute of a table is kept in: its own name, but for names that are taken."""
    name = attribute.strip().lstrip("_").replace(".", "_") or "attribute"
    taken = {*BUILT_IN.names, "vector"} - set(_SAID_BY_TABLES)
    return f"{name}_" if name in taken else name


def read_settings(text: str) -> Settings:
    """What `asdict` and JSON made of settings."""
    said = json.loads(text)
    return Settings(**{**said, "sources": tuple(said["sources"])})
