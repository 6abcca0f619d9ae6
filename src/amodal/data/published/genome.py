"""Visual Genome: descriptions of regions."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from amodal.core.errors import DataError
from amodal.data.annotations import Annotations, Instance, Sentence, said_of
from amodal.data.masks import BadAnnotation, corner_box
from amodal.data.pictures import BrokenPicture, FileRef
from amodal.data.published.documents import in_form, read_json, usable
from amodal.data.rows import MAX_SKIPPED, SkipLog, Table, finished_table
from amodal.data.tables import Record, find_picture, gather

_REGIONS, _PICTURES = "region_descriptions.json", "image_data.json"
_FOLDERS = ("VG_100K", "VG_100K_2")


class _Picture(NamedTuple):
    """file: "VG_100K_2/1.jpg"; size: (H, W) in whose pixels the boxes are given."""

    number: int
    file: str
    size: tuple[int, int]


def has_genome(folder: Path) -> bool:
    """Whether region_descriptions.json lies in `folder`."""
    return (folder / _REGIONS).is_file()


def read_genome(folder: Path, *, max_skipped: float = MAX_SKIPPED, annotated: bool = False) -> Table:
    """Visual Genome (Krishna et al., 2017): region_descriptions.json, image_data.json, and VG_100K and VG_100K_2.

    A row a picture; the phrases of its regions are its captions. annotated: also each region as a thing with its box
    (cut at the picture's edges), and its phrase in `regions`. Total and skipped count regions. Raises DataError.
    """
    skipped = SkipLog(max_skipped)
    if not (folder / _PICTURES).is_file():
        raise DataError(f"{folder} has {_REGIONS} and no {_PICTURES}; unpack image_data.json.zip beside it")
    path = folder / _PICTURES
    with in_form(path, "Visual Genome's format"):
        listed = list(read_json(path))
    pictures = {each.number: each for each in usable(path, "image_id", listed, _picture, skipped)}
    path = folder / _REGIONS
    with in_form(path, "Visual Genome's format"):
        entries = [list(entry["regions"]) for entry in read_json(path)]
    known: dict[str, list[tuple[str, Instance]]] = {}

    def records() -> Iterator[Record]:
        for regions in entries:
            said = list(usable(path, "region_id", regions, lambda region: _region(region, pictures), skipped))
            if said:
                picture = said[0][0]
                number = str(picture.number)
                if annotated:
                    known[number] = [(phrase, thing) for _, phrase, thing in said]
                phrases = [phrase for _, phrase, _ in said]
                yield Record(f"{path.name}:image_id {number}", picture.file, phrases, {"image_id": number})

    rows, _ = gather(records(), lambda name: _find(folder, name), skipped)
    if annotated:
        rows = [replace(row, annotations=_annotations(known[row.attributes["image_id"]])) for row in rows]
    return finished_table(str(folder), rows, skipped, len(listed) + sum(map(len, entries)))


def _picture(entry: dict[str, Any]) -> _Picture:
    number = entry["image_id"] if "image_id" in entry else entry["id"]  # version 1.0 calls it id
    return _Picture(int(number), "/".join(PurePosixPath(entry["url"]).parts[-2:]), (entry["height"], entry["width"]))


def _region(entry: dict[str, Any], pictures: dict[int, _Picture]) -> tuple[_Picture, str, Instance]:
    phrase = entry["phrase"].strip()
    picture = pictures.get(entry["image_id"])
    if not phrase or picture is None:
        raise BadAnnotation(f"unknown picture: {entry['image_id']} is not in {_PICTURES}" if phrase else "empty phrase")
    box = corner_box(entry["x"], entry["y"], entry["width"], entry["height"], picture.size)
    return picture, phrase, Instance("region", box)


def _find(folder: Path, name: str) -> FileRef:
    """The picture in the folder that its address names, or in the other one, alone or under images."""
    first, last = name.split("/")
    places = [folder / inner / each for each in (first, *_FOLDERS) for inner in ("", "images")]
    found = next((place for place in places if (place / last).is_file()), folder / first)
    try:
        return find_picture(found, last)
    except BrokenPicture as broken:
        raise BrokenPicture(str(broken).replace(last, name, 1)) from broken


def _annotations(said: list[tuple[str, Instance]]) -> Annotations:
    things = tuple(thing for _, thing in said)
    regions: tuple[Sentence, ...] = tuple(said_of(phrase, place) for place, (phrase, _) in enumerate(said))
    return Annotations(things, regions=regions)
