"""The one entrance to data: `open_table` looks at what a person points to and picks the reader."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

from amodal.core.errors import DataError
from amodal.data.emoji import bundled_table
from amodal.data.folders import (
    NoCaptions,
    has_sidecars,
    is_album,
    read_class_folders,
    read_loose_pictures,
    read_sidecars,
    visible_files,
)
from amodal.data.pictures import PICTURE_SUFFIXES
from amodal.data.published import ANNOTATED, published_reader, read_refcoco
from amodal.data.rows import MAX_SKIPPED, Table
from amodal.data.shards import read_shards
from amodal.data.tables import ADDRESS, TABLE_SUFFIXES, read_table

BUNDLED = "bundled"

_TABLE_NAMES = tuple(f"{stem}{suffix}" for stem in ("captions", "metadata") for suffix in TABLE_SUFFIXES)


def open_table(source: str | Path, *, max_skipped: float = MAX_SKIPPED, annotated: bool = False) -> Table:
    """The table that `source` holds; nothing is fetched and nothing written.

    source: "bundled"; a caption table (.csv, .tsv, .jsonl, .parquet); a shard, a folder of shards or a pattern like
    "data-{000..009}.tar"; a folder with captions.* or metadata.*, with photo.jpg + photo.txt, with one subfolder a
    class, or with a published set (`amodal.data.published`). max_skipped: the share of rows that may be unusable.
    annotated: rows with their `annotations` (boxes, masks, phrase links, regions, questions), of COCO, VQA, Visual
    Genome, Flickr30k Entities and RefCOCO. Raises DataError; NoCaptions where only annotations could be read.
    """
    table = _open(source, max_skipped, annotated)
    if not table.captioned and not annotated:
        raise NoCaptions(f"{source} holds questions and no captions; put COCO's captions_*.json in its annotations")
    return table


def _open(source: str | Path, max_skipped: float, annotated: bool) -> Table:
    if annotated:
        return _open_annotated(Path(source).expanduser(), max_skipped)
    if source == BUNDLED:
        return bundled_table()
    if ADDRESS.match(str(source)):
        raise DataError(f"{source} is an address and nothing is fetched here; download it and give the folder")
    path = Path(source).expanduser()
    if "{" in str(path) and not _exists(path):
        return read_shards(path, max_skipped=max_skipped)
    if not _exists(path):
        raise DataError(f"{path} does not exist{_nearest(path)}")
    try:
        reader = _folder_reader(path) if path.is_dir() else _file_reader(path)
        return reader(max_skipped)
    except OSError as error:
        raise _unreadable(error, path) from error


def open_pictures(source: str | Path, *, max_skipped: float = MAX_SKIPPED) -> Table:
    """As `open_table`, but a folder of pictures that nothing is said of will do, too. Raises DataError."""
    path = Path(source).expanduser()
    if path.is_dir() and is_album(path) and holds_loose_pictures(path):
        return read_loose_pictures(path, max_skipped=max_skipped)
    try:
        return _open(source, max_skipped, annotated=False)
    except NoCaptions:
        return read_loose_pictures(path, max_skipped=max_skipped)


def _open_annotated(path: Path, max_skipped: float) -> Table:
    if not _exists(path):
        raise DataError(f"{path} does not exist{_nearest(path)}")
    reader = published_reader(path) if path.is_dir() else read_refcoco if path.suffix == ".p" else None
    if reader is None or reader not in ANNOTATED:
        raise DataError(
            f"{path} has no annotations that can be read; give the folder of COCO, VQA v2, Visual Genome, Flickr30k "
            "Entities or RefCOCO"
        )
    try:
        return reader(path, max_skipped=max_skipped, annotated=True)
    except OSError as error:
        raise _unreadable(error, path) from error


def absolute_source(source: str) -> str:
    """The same source for a process in any folder, and however it was reached: the real path."""
    if source == BUNDLED or ADDRESS.match(source):
        return source
    return os.path.realpath(Path(source).expanduser())


def _file_reader(path: Path) -> Callable[[float], Table]:
    if path.suffix == ".tar":
        return lambda share: read_shards(path, max_skipped=share)
    if path.suffix == ".p":
        return lambda share: read_refcoco(path, max_skipped=share)
    if path.suffix.lower() in TABLE_SUFFIXES:
        return lambda share: read_table(path, max_skipped=share)
    raise DataError(
        f"{path} is no source of pictures with captions; give a folder, {', '.join(TABLE_SUFFIXES)} or .tar "
        "(for a published set, the folder it was unpacked into)"
    )


def holds_loose_pictures(folder: Path) -> bool:
    """Whether nothing in a folder but its pictures says what it is: no caption table, shard or published set.

    Raises DataError where it may not be read.
    """
    return _described_reader(folder) is None


def _folder_reader(folder: Path) -> Callable[[float], Table]:
    described = _described_reader(folder)
    if described is not None:
        return described
    if has_sidecars(folder):
        return lambda share: read_sidecars(folder, max_skipped=share)
    return lambda share: read_class_folders(folder, max_skipped=share)


def _described_reader(folder: Path) -> Callable[[float], Table] | None:
    files = visible_files(folder)
    tables = [path for path in files if path.name in _TABLE_NAMES]
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataError(f"{folder} holds several caption tables ({names}); give the path of the one to read")
    if tables:
        return lambda share: read_table(tables[0], max_skipped=share)
    published = published_reader(folder)
    if published is not None:
        return lambda share: published(folder, max_skipped=share)
    suffixes = {path.suffix.lower() for path in files}
    if ".tar" in suffixes and suffixes.isdisjoint(PICTURE_SUFFIXES):
        return lambda share: read_shards(folder, max_skipped=share)
    return None


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise _unreadable(error, path) from error
    return True


def _unreadable(error: OSError | ValueError, path: Path) -> DataError:
    place, reason = getattr(error, "filename", None) or path, getattr(error, "strerror", None) or error
    return DataError(f"{place} cannot be read ({reason}); check the path and its permissions")


def _nearest(path: Path) -> str:
    """What stands beside a path that does not exist, for the message."""
    parent = path.parent
    if not parent.is_dir():
        return f", nor does {parent}; check the path"
    try:
        beside = sorted(inside.name for inside in parent.iterdir() if not inside.name.startswith("."))
    except OSError:
        return "; check the path"
    near = difflib.get_close_matches(path.name, beside, n=3, cutoff=0.4) or beside[:3]
    return f"; in {parent} there is {', '.join(near)}" if near else f"; {parent} is empty"
