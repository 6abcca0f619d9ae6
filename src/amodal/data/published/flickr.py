"""Flickr8k and Flickr30k captions."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from amodal.core.errors import DataError
from amodal.data.published.documents import first_folder
from amodal.data.rows import MAX_SKIPPED, SkipLog, Table, finished_table
from amodal.data.tables import Record, find_picture, gather, read_text

_FOLDERS = ("Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images", "flickr30k-images")


def flickr_table(folder: Path) -> Path | None:
    """The caption table of Flickr8k or Flickr30k in `folder`, if there is one."""
    names = ("results.csv", "results_20130124.token", "Flickr8k.token.txt", "captions.txt")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_flickr(folder: Path, *, max_skipped: float = MAX_SKIPPED) -> Table:
    """Flickr8k and Flickr30k (Hodosh et al., 2013; Young et al., 2014), as first published or as CSV.

    Reads Flickr8k.token.txt (splits from Flickr_8k.*Images.txt), results_20130124.token, results.csv with pipes,
    or captions.txt; the pictures lie in the one subfolder whose name is theirs, or beside the table.
    """
    table = flickr_table(folder)
    if table is None:
        raise DataError(f"{folder} has no results.csv, Flickr8k.token.txt or captions.txt; unpack the archive again")
    skipped = SkipLog(max_skipped)
    records = _flickr_records(table, _flickr_splits(folder), skipped)
    root = flickr_pictures(folder)
    rows, total = gather(records, lambda name: find_picture(root, name), skipped)
    return finished_table(str(folder), rows, skipped, total)


def flickr_pictures(folder: Path) -> Path:
    """Where the pictures lie: the subfolder of a usual name, the one of the same name in it, or `folder` itself."""
    pictures = first_folder(*(folder / name for name in _FOLDERS)) or folder
    inner = pictures / pictures.name
    return inner if inner.is_dir() else pictures


def _flickr_splits(folder: Path) -> dict[str, str]:
    splits: dict[str, str] = {}
    for split, name in {"train": "train", "val": "dev", "test": "test"}.items():
        path = folder / f"Flickr_8k.{name}Images.txt"
        if path.is_file():
            splits.update(dict.fromkeys(read_text(path).split(), split))
    return splits


def _flickr_records(path: Path, splits: Mapping[str, str], skipped: SkipLog) -> Iterator[Record | None]:
    separator = {".csv": "|", ".token": "\t"}.get(path.suffix, "\t" if "token" in path.name else ",")
    has_header = separator != "\t"
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or (has_header and number == 1):
            continue
        key = f"{path.name}:{number}"
        fields = [field.strip() for field in line.split(separator, 2 if separator == "|" else 1)]
        if len(fields) < (3 if separator == "|" else 2):
            skipped.add(key, f"ragged row: {len(fields)} fields between {separator!r}")
            yield None
            continue
        name = fields[0].split("#")[0]
        caption = next(csv.reader([fields[-1]]))[0] if fields[-1].startswith('"') else fields[-1]
        yield Record(key, name, [caption], {"split": splits[name]} if name in splits else {})
