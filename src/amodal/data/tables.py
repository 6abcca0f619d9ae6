"""Caption tables: CSV, JSON Lines and Parquet; and how records of any source become rows.

The columns are `image` (path relative to the table; in Parquet also the encoded picture) and `caption` (text, or a
list of texts); Hugging Face's `file_name` and `text` are read as these. Every other column becomes an attribute.
Nothing is fetched: an address in `image` is refused.
"""

import csv
import difflib
import hashlib
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from amodal.core.errors import DataError
from amodal.data.pictures import BrokenPicture, BytesRef, FileRef, PictureRef
from amodal.data.rows import MAX_SKIPPED, Row, SkipLog, Table, caption_pair, finished_table

_IMAGE_COLUMNS = ("image", "file_name")
_CAPTION_COLUMNS = ("caption", "text")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

ADDRESS = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)


class Record(NamedTuple):
    """One line of a table before it is checked. image: a path as written, or an encoded picture."""

    key: str
    image: str | bytes
    captions: list[str]
    attributes: Mapping[str, str]


@dataclass
class _Open:
    """A picture whose captions are still being gathered."""

    key: str
    picture: PictureRef
    attributes: Mapping[str, str]
    captions: dict[str, None] = field(default_factory=dict)


def read_table(path: Path, *, max_skipped: float = MAX_SKIPPED) -> Table:
    """The caption table in a .csv, .tsv, .jsonl or .parquet file. Raises DataError."""
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise DataError(f"{path}: no caption table ends in {suffix!r}; save it as .csv, .jsonl or .parquet")
    reader = {".parquet": _parquet_records, ".jsonl": _jsonl_records, ".ndjson": _jsonl_records}.get(
        suffix, _csv_records
    )
    skipped = SkipLog(max_skipped)
    rows, total = gather(reader(path, skipped), lambda name: find_picture(path.parent, name), skipped)
    return finished_table(str(path), rows, skipped, total)


def gather(
    records: Iterable[Record | None], locate: Callable[[str], PictureRef], skipped: SkipLog
) -> tuple[list[Row], int]:
    """Records joined to one row a picture, and how many records there were.

    None stands for a record that the reader has skipped and named already. `locate` turns a path as written into
    a reference or raises BrokenPicture with the reason, which skips the record.
    """
    pictures: dict[str, _Open] = {}
    total = 0
    for record in records:
        total += 1
        if record is None:
            continue
        captions = [caption.strip() for caption in record.captions if caption.strip()]
        if not captions:
            skipped.add(record.key, "empty caption")
            continue
        try:
            same = _identity(record.image)
            if same not in pictures:
                picture = BytesRef(record.image) if isinstance(record.image, bytes) else locate(record.image)
                pictures[same] = _Open(record.key, picture, record.attributes)
        except BrokenPicture as broken:
            skipped.add(record.key, str(broken))
            continue
        _add_captions(pictures[same], captions, record.key, skipped)
    return [_row(opened) for opened in pictures.values()], total


def find_picture(root: Path, name: str) -> FileRef:
    """The picture file that `name` in a table under `root` means. Raises BrokenPicture with the reason.

    Backslashes and differently composed accents, as other systems write them, are tried too.
    """
    slashed = name.replace("\\", "/")
    forms = (name, slashed, unicodedata.normalize("NFC", slashed), unicodedata.normalize("NFD", slashed))
    for form in dict.fromkeys(forms):
        path = root / form
        try:
            if path.stat().st_size == 0:
                raise BrokenPicture(f"empty image file: {name} has zero bytes")
            if path.is_file():
                return FileRef(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as error:
            raise BrokenPicture(f"unreadable image file: {name} ({error})") from error
    raise BrokenPicture(f"missing image file: {name}")


def read_text(path: Path) -> str:
    """The whole of a UTF-8 file, with or without a byte order mark. Raises DataError that names the place."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the name and its permissions") from error
    if not content.strip():
        raise DataError(f"{path} is empty; a caption table needs a header and rows")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path} is UTF-16 (row 1, byte 0); save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}: row {row}, byte {error.start} is not UTF-8; save the file as UTF-8") from error


def column_names(columns: Iterable[str], path: Path) -> tuple[str, str]:
    """The names of the image and the caption column among `columns`. Raises DataError with the nearest ones."""
    found = list(columns)
    named = []
    for wanted in (_IMAGE_COLUMNS, _CAPTION_COLUMNS):
        name = next((name for name in wanted if name in found), None)
        if name is None:
            near = difflib.get_close_matches(wanted[0], found, n=1, cutoff=0.5)
            near += [column for column in found if column.strip().lower().startswith(wanted[0]) and column not in near]
            hint = f"; rename {near[0]!r} to {wanted[0]!r}" if near else f"; add it or rename one to {wanted[0]!r}"
            raise DataError(f"{path} has no column {wanted[0]!r}; its columns are {', '.join(map(repr, found))}{hint}")
        named.append(name)
    return named[0], named[1]


def _identity(image: str | bytes) -> str:
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    if not image.strip():
        raise BrokenPicture("empty image column")
    if ADDRESS.match(image):
        raise BrokenPicture(f"image is an address: {image} (nothing is fetched; download it and give its path)")
    return str(Path(image.replace("\\", "/")))


def _add_captions(opened: _Open, captions: list[str], key: str, skipped: SkipLog) -> None:
    before = len(opened.captions)
    opened.captions.update(dict.fromkeys(captions))
    if len(opened.captions) == before:
        skipped.add(key, f"duplicate row: the same image and caption as {opened.key}")


def _row(opened: _Open) -> Row:
    captions = tuple(opened.captions)
    return Row(
        key=opened.key,
        picture=opened.picture,
        captions=captions,
        pair=caption_pair(captions),
        attributes=opened.attributes,
    )


def _csv_records(path: Path, skipped: SkipLog) -> Iterator[Record | None]:
    text = read_text(path)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = [name.strip() for name in next(reader)]
    image, caption = (header.index(name) for name in column_names(header, path))
    while True:
        key = f"{path.name}:{reader.line_num + 1}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise DataError(f"{path}: the quote opened in row {key} is never closed; close it") from error
            skipped.add(key, f"malformed row: {error}")
            yield None
            continue
        if not fields:
            continue
        if len(fields) != len(header):
            reason = f"{len(fields)} fields where the header has {len(header)} (quote texts that hold {delimiter!r})"
            skipped.add(key, f"ragged row: {reason}")
            yield None
            continue
        others = {name: value for name, value in zip(header, fields, strict=True) if value}
        yield Record(key, fields[image].strip(), [fields[caption]], _others(others, header[image], header[caption]))


def _delimiter(text: str) -> str:
    """The separator under which the header names an image column; else the one that cuts it into most fields."""
    header = text.split("\n", 1)[0].strip()

    def quality(delimiter: str) -> tuple[bool, int]:
        names = [name.strip().strip('"') for name in header.split(delimiter)]
        return any(name in names for name in _IMAGE_COLUMNS), len(names)

    return max((",", ";", "\t", "|"), key=quality)


def _jsonl_records(path: Path, skipped: SkipLog) -> Iterator[Record | None]:
    lines: list[tuple[str, dict[str, object] | None]] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        key = f"{path.name}:{number}"
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            skipped.add(key, f"malformed JSON: {error}")
            value = None
        else:
            if not isinstance(value, dict):
                skipped.add(key, "malformed JSON: not an object with image and caption")
                value = None
        lines.append((key, value))
    yield from _value_records(lines, path, skipped)


def _parquet_records(path: Path, skipped: SkipLog) -> Iterator[Record | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        values = pq.read_table(path).to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} is no readable Parquet file ({error}); write it again") from error
    yield from _value_records([(f"{path.name}:{n}", value) for n, value in enumerate(values, start=1)], path, skipped)


def _value_records(
    values: list[tuple[str, dict[str, object] | None]], path: Path, skipped: SkipLog
) -> Iterator[Record | None]:
    columns = dict.fromkeys(name for _, value in values if value is not None for name in value)
    if not columns:
        raise DataError(f"{path} holds no row that can be read; a table needs rows with image and caption")
    image_column, caption_column = column_names(columns, path)
    for key, value in values:
        if value is None:
            yield None
            continue
        image, captions = _image_of(value.get(image_column)), _captions_of(value.get(caption_column))
        if image is None or captions is None:
            name = image_column if image is None else caption_column
            skipped.add(key, f"unusable column: {name} is {type(value.get(name)).__name__}, not a path or text")
            yield None
            continue
        others = {name: item for name, item in value.items() if item is not None}
        yield Record(key, image, captions, _others(others, image_column, caption_column))


def _image_of(value: object) -> str | bytes | None:
    """A path or an encoded picture; Hugging Face writes {"bytes": ..., "path": ...}."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    return value if isinstance(value, str | bytes) else None


def _captions_of(value: object) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [item for item in value if isinstance(item, str)]
    return [] if value is None else None


def _others(values: Mapping[str, object], *taken: str) -> dict[str, str]:
    """The attributes: every further column as text; bytes are left out."""
    texts = {name: as_text(value) for name, value in values.items() if name not in taken}
    return {name: text for name, text in texts.items() if text}


def as_text(value: object) -> str:
    """A value of a table as an attribute: text as it is, the rest as JSON, "" for what JSON cannot say."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return ""
