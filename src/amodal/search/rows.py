"""What is kept of a picture: its row, from what its file and its table say."""

import os
import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from amodal.data.exif import read_exif
from amodal.data.looks import Look
from amodal.data.pictures import FileRef
from amodal.search.stored import StoredPicture
from amodal.search.survey import Entry, as_number

if TYPE_CHECKING:
    import pyarrow as pa


_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")
"""Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese."""


def packed(look: Look) -> bytes:
    """A look as bytes: hash, deviation, grey picture, colours; `query.Copies` reads it."""
    head = np.array([look.hash], "<u8").tobytes() + np.array([look.deviation], "<f8").tobytes()
    return head + look.grey.tobytes() + look.colour.tobytes()


def words_of(*texts: str) -> str:
    """Words to be looked up exactly: in small letters, each between spaces, and each letter of a script that writes
    none between its words."""
    plain = unicodedata.normalize("NFKC", " ".join(texts)).casefold()
    kept = "".join(letter if letter.isalnum() or unicodedata.category(letter)[0] == "M" else " " for letter in plain)
    apart = _UNSPACED.sub(r" \g<0> ", kept)
    return f" {' '.join(apart.split())} "


def row_of(
    path: str, entry: Entry, data: bytes, columns: Mapping[str, str], schema: "pa.Schema", *, place: bool
) -> dict[str, Any]:
    """What is kept of a picture but its vector and its look: EXIF, captions, attributes in their `columns`, words.

    data: its bytes; place: also keep where it was taken. What the table says goes before what EXIF says.
    """
    exif = read_exif(data, place=place)
    told = {
        "taken": exif.taken,
        "year": None if exif.taken is None else float(exif.taken.year),
        "camera": exif.camera or None,
        "latitude": exif.latitude,
        "longitude": exif.longitude,
    }
    row = _fitting({**told, **_said(path, entry, columns)}, schema)
    return {**row, "path": path, "date": row["taken"] or _modified(entry), "file": _file_of(entry)}


def _said(path: str, entry: Entry, columns: Mapping[str, str]) -> dict[str, Any]:
    """What is said of a picture: captions, attributes in their columns, and all words that it can be found by."""
    texts = [value for value in entry.attributes.values() if as_number(value) is None]
    return {
        "captions": list(entry.captions),
        "words": words_of(os.path.splitext(path)[0], *entry.captions, *texts),
        **{columns[name]: value for name, value in entry.attributes.items()},
    }


def _fitting(row: dict[str, Any], schema: "pa.Schema") -> dict[str, Any]:
    """The row in the types of its columns: texts in columns of numbers are read as such, or left empty."""
    import pyarrow as pa

    fitted = {}
    for name, value in row.items():
        if isinstance(value, str) and pa.types.is_floating(schema.field(name).type):
            value = as_number(value)
        elif isinstance(value, str) and pa.types.is_timestamp(schema.field(name).type):
            value = _moment(value)
        fitted[name] = value
    return fitted


def _file_of(entry: Entry) -> str | None:
    """The file of a picture that has one of its own, or its URL."""
    if isinstance(entry.picture, StoredPicture):
        return entry.picture.address
    return str(entry.picture.path.absolute()) if isinstance(entry.picture, FileRef) else None


def _modified(entry: Entry) -> datetime | None:
    if isinstance(entry.picture, StoredPicture):
        return datetime.fromtimestamp(int(entry.picture.modified))
    path = getattr(entry.picture, "path", None)
    try:
        return None if path is None else datetime.fromtimestamp(int(os.path.getmtime(path)))
    except OSError:
        return None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
