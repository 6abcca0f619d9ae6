"""Folders of pictures: by class (the subfolder's name is the label and the only caption), or each with a text file."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from amodal.core.errors import DataError, UsageError
from amodal.data.pictures import PICTURE_SUFFIXES, FileRef
from amodal.data.rows import MAX_SKIPPED, Row, SkipLog, Table, finished_table
from amodal.data.tables import Record, find_picture, gather

SPLIT_FOLDERS: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}


class NoCaptions(DataError):
    """A folder that holds pictures, and nothing that says what is on them."""


def read_class_folders(
    folder: Path, *, max_skipped: float = MAX_SKIPPED, names: Mapping[str, str] | None = None
) -> Table:
    """The pictures under `folder`/CLASS/ or `folder`/train|val|test/CLASS/, at any depth below the class.

    names: subfolder -> class name where the folder's own name (underscores read as spaces) is not it.
    Files that are no pictures are passed over; pictures outside any class folder are skipped and named; empty files
    too. Raises DataError for a folder without classes or without permission, NoCaptions where all pictures lie loose.
    """
    skipped = SkipLog(max_skipped)
    rows: list[Row] = []
    total = strays = 0
    for split, root in _split_roots(folder):
        for stray in _pictures_in(root):
            skipped.add(stray.relative_to(folder).as_posix(), "no class: the picture is not in a class folder")
            total, strays = total + 1, strays + 1
        for class_folder in subfolders(root):
            label = (names or {}).get(class_folder.name, class_folder.name.replace("_", " ").strip())
            for path in _pictures_below(class_folder):
                total += 1
                key = path.relative_to(folder).as_posix()
                reason = _why_not(path)
                if reason is not None:
                    skipped.add(key, reason)
                    continue
                attributes = {"label": label, "folder": class_folder.name} | ({"split": split} if split else {})
                rows.append(_row(key, path, label, attributes))
    if total == strays > 0:
        raise NoCaptions(
            f"{folder} holds {total:,} pictures without captions; give a caption table, photo.txt beside photo.jpg, "
            "or one subfolder a class"
        )
    if total == 0:
        raise DataError(f"{folder} holds no class folders with pictures; put pictures in one subfolder a class")
    classes = sorted({row.attributes["label"] for row in rows})
    return finished_table(str(folder), rows, skipped, total, classes)


def read_loose_pictures(folder: Path, *, max_skipped: float = MAX_SKIPPED) -> Table:
    """The pictures in and below `folder`, without captions: in the place of one stands the file's path in the folder,
    which is also the key, and `captioned` is False. Raises DataError."""
    skipped, rows = SkipLog(max_skipped), []
    pictures = list(_pictures_below(folder))
    for path in pictures:
        key, reason = path.relative_to(folder).as_posix(), _why_not(path)
        if reason is None:
            rows.append(_row(key, path, key, {}))
        else:
            skipped.add(key, reason)
    return replace(finished_table(str(folder), rows, skipped, len(pictures)), captioned=False)


def read_sidecars(folder: Path, *, max_skipped: float = MAX_SKIPPED) -> Table:
    """Pictures with a text of the same name beside them (photo.jpg, photo.txt); each line is a caption."""
    skipped = SkipLog(max_skipped)
    pictures = _pictures_in(folder)

    def records() -> Iterator[Record | None]:
        for path in pictures:
            try:
                text = path.with_suffix(".txt").read_text(encoding="utf-8-sig")
            except FileNotFoundError:
                skipped.add(path.name, f"no caption: {path.stem}.txt is not beside it")
            except (OSError, UnicodeDecodeError) as error:
                skipped.add(path.name, f"unreadable caption: {path.stem}.txt ({error})")
            else:
                yield Record(path.name, path.name, text.splitlines(), {})
                continue
            yield None

    rows, total = gather(records(), lambda name: find_picture(folder, name), skipped)
    return finished_table(str(folder), rows, skipped, total)


def is_album(folder: Path) -> bool:
    """Whether pictures lie directly in a folder with no text beside any: whatever its subfolders are, they are no
    classes."""
    return bool(_pictures_in(folder)) and not has_sidecars(folder)


def has_sidecars(folder: Path) -> bool:
    """Whether any picture directly in `folder` has a text file of its name beside it."""
    return any(path.with_suffix(".txt").is_file() for path in _pictures_in(folder))


def visible_files(folder: Path) -> list[Path]:
    """The visible files directly in `folder`, by name. Raises DataError where it may not be read."""
    return [Path(entry.path) for entry in _entries(folder) if entry.is_file()]


def subfolders(folder: Path) -> list[Path]:
    """The visible folders directly in `folder`, by name. Raises DataError where it may not be read."""
    return [Path(entry.path) for entry in _entries(folder) if entry.is_dir()]


def _why_not(path: Path) -> str | None:
    """Why the file cannot be a picture, as far as is known without opening it."""
    try:
        status = path.stat()
    except OSError as error:
        return f"unreadable image file: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return "unreadable image file: not a regular file"
    return "empty image file: zero bytes" if status.st_size == 0 else None


def _row(key: str, path: Path, label: str, attributes: Mapping[str, str]) -> Row:
    return Row(key=key, picture=FileRef(path), captions=(label,), pair=label, attributes=attributes)


def _split_roots(folder: Path) -> list[tuple[str, Path]]:
    """(split, folder of class folders); the split is "" when `folder` itself holds the classes."""
    inside = subfolders(folder)
    if inside and all(path.name.lower() in SPLIT_FOLDERS for path in inside):
        return [(SPLIT_FOLDERS[path.name.lower()], path) for path in inside]
    return [("", folder)]


def _pictures_in(folder: Path) -> list[Path]:
    return [path for path in visible_files(folder) if _is_picture(path.name)]


def _pictures_below(folder: Path) -> Iterator[Path]:
    for root, inside, files in os.walk(folder, onerror=_refuse):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(files) if _is_picture(name))


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        _refuse(error)
        return []


def _refuse(error: OSError) -> None:
    raise DataError(
        f"{error.filename} cannot be read ({error.strerror}); check the path and your permission to read it"
    ) from error


def picture_files(given: Path) -> list[Path]:
    """The picture a person named, or every picture in and below the folder they named, in order of path.

    Raises UsageError when there is no such thing or the folder holds no picture, DataError where it may not be read.
    """
    if given.is_dir():
        found = sorted(_pictures_below(given))
        if not found:
            raise UsageError(f"{given} holds no picture ({', '.join(sorted(PICTURE_SUFFIXES))})")
        return found
    if not given.exists():
        raise UsageError(f"there is no picture {given}; check the path")
    return [given]
