"""What a source holds now, by file times and sizes alone: nothing is opened that need not be."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from amodal.core.errors import DataError
from amodal.data.pictures import PICTURE_SUFFIXES, FileRef, PictureRef
from amodal.data.rows import Row, Skipped
from amodal.data.sources import BUNDLED, absolute_source, holds_loose_pictures, open_pictures
from amodal.data.tables import ADDRESS
from amodal.search.stored import list_pictures


class Entry(NamedTuple):
    """A picture of a source with what is said of it."""

    picture: PictureRef
    captions: tuple[str, ...] = ()
    attributes: Mapping[str, str] = {}


@dataclass(frozen=True)
class Survey:
    """A source looked over. source: as it is written in an index.

    marks: path in the source -> what changes whenever the picture or what is said of it may have changed; entry: the
    picture of a path; attributes: names of what is kept of each picture -> whether all values are numbers; hollow:
    folders that are there and hold nothing, as a mount that is away leaves them; skipped: what was left out.
    """

    source: str
    marks: Mapping[str, str] = field(default_factory=dict)
    entry: Callable[[str], Entry] = lambda path: Entry(FileRef(Path(path)))
    attributes: Mapping[str, bool] = field(default_factory=dict)
    hollow: frozenset[str] = frozenset()
    skipped: tuple[Skipped, ...] = ()

    def may_be_away(self, path: str) -> bool:
        """Whether a path that is not there lies in a folder that is hollow, or all of the source is."""
        return not self.marks or any(path.startswith(f"{folder}/") for folder in self.hollow)


def survey(source: str, *, place: bool = False) -> Survey:
    """Looks a source over: a folder of pictures with all below it, the URL of one in an object store, or anything that
    `open_pictures` reads.

    A folder that is missing is an empty one. place: part of every mark, since it changes what is kept of a picture.
    Raises DataError.
    """
    name, suffix = absolute_source(source), "p" if place else ""
    path = Path(name)
    if ADDRESS.match(name):
        return _listed(name, suffix)
    if name != BUNDLED and not path.exists():
        return Survey(name)
    if name != BUNDLED and path.is_dir() and holds_loose_pictures(path):
        return _walked(path, suffix)
    try:
        table = open_pictures(name, max_skipped=1.0)
    except DataError as error:
        if "holds no usable row" in str(error):  # every picture of the table is missing
            return Survey(name)
        raise
    rows = {_path_of(row, path): row for row in table.rows}
    captioned = table.captioned
    entries = {
        each: Entry(row.picture, row.captions if captioned else (), row.attributes) for each, row in rows.items()
    }
    return Survey(
        name,
        {each: _mark(entry) + suffix for each, entry in entries.items()},
        entries.__getitem__,
        _kinds(entries),
        skipped=tuple(entry for entry in table.skipped.entries if not entry.reason.startswith("duplicate row")),
    )


def _walked(root: Path, suffix: str) -> Survey:
    """Every visible picture in and below a folder, but of an index that lies there.

    photo.txt beside photo.jpg holds its captions, one a line.
    """
    marks: dict[str, str] = {}
    hollow, skipped, told = set[str](), list[Skipped](), set[str]()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as found:
                inside = [entry for entry in found if not entry.name.startswith(".")]
        except OSError as error:
            hollow.add(folder)
            skipped.append(Skipped(folder or str(root), f"unreadable folder: {error.strerror}"))
            continue
        if not inside:
            hollow.add(folder)
        if any(entry.name.endswith(".lance") for entry in inside):
            continue  # an index, with thumbnails of its own
        texts = {entry.name for entry in inside if entry.name.endswith(".txt")}
        for entry in inside:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
                continue
            stem, ending = os.path.splitext(entry.name)
            if ending.lower() in PICTURE_SUFFIXES and entry.is_file():
                marks[path] = _stamp(entry.stat()) + suffix
                if f"{stem}.txt" in texts:
                    told.add(path)
                    marks[path] += _digest(*_sidecar(root / path))

    def entry_of(path: str) -> Entry:
        above = path.rpartition("/")[0]
        captions = _sidecar(root / path) if path in told else ()
        return Entry(FileRef(root / path), captions, {"folder": above} if above else {})

    names = {"folder": False} if any("/" in path for path in marks) else {}
    return Survey(str(root), dict(sorted(marks.items())), entry_of, names, frozenset(hollow), tuple(skipped))


def _listed(root: str, suffix: str) -> Survey:
    """Every picture below a URL. Captions that lie beside pictures would have to be fetched, and are not."""
    pictures = list_pictures(root)

    def entry_of(path: str) -> Entry:
        above = path.rpartition("/")[0]
        return Entry(pictures[path], (), {"folder": above} if above else {})

    marks = {path: f"{int(each.modified * 1e3):x}.{each.size:x}{suffix}" for path, each in pictures.items()}
    return Survey(root, marks, entry_of, {"folder": False} if any("/" in path for path in marks) else {})


def _sidecar(picture: Path) -> tuple[str, ...]:
    try:
        lines = picture.with_suffix(".txt").read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(line.strip() for line in lines if line.strip())


def _path_of(row: Row, source: Path) -> str:
    """Where a row's picture lies below its source, or its key where it has no file of its own."""
    if not isinstance(row.picture, FileRef):
        return row.key
    base = source if source.is_dir() else source.parent
    return Path(os.path.relpath(row.picture.path, base)).as_posix()


def _mark(entry: Entry) -> str:
    path: Path | None = getattr(entry.picture, "path", None)
    said = _digest(*entry.captions, *(f"{name}={value}" for name, value in sorted(entry.attributes.items())))
    if path is None:
        return entry.picture.identity() + said
    within = "" if isinstance(entry.picture, FileRef) else entry.picture.identity(path.absolute().parent)
    try:
        return _stamp(path.stat()) + within + said
    except OSError:
        return "missing" + said


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}.{status.st_size:x}"


def _digest(*texts: str) -> str:
    return "." + hashlib.sha256("\x1f".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16] if texts else ""


def _kinds(entries: Mapping[str, Entry]) -> dict[str, bool]:
    kinds: dict[str, bool] = {}
    for entry in entries.values():
        for name, value in entry.attributes.items():
            kinds[name] = kinds.get(name, True) and as_number(value) is not None
    return kinds


def as_number(text: str) -> float | None:
    """The number that a text says; None where it says none, and for 007, which is a name."""
    if text[:1] == "0" and text[1:2].isdigit():
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
