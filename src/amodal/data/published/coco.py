"""COCO: captions, and asked for, the instances and VQA questions that lie beside them."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from amodal.data.annotations import Annotations, Instance, Sentence
from amodal.data.masks import corner_box, read_mask
from amodal.data.published.documents import first_folder, in_form, read_json, usable
from amodal.data.published.vqa import read_questions
from amodal.data.rows import MAX_SKIPPED, Row, SkipLog, Table, finished_table
from amodal.data.tables import Record, find_picture, gather

_CAPTIONS = re.compile(r"captions_((?:train|val|test)\d*)\.json")


def has_coco_captions(folder: Path) -> bool:
    """Whether annotations/captions_*.json lies in `folder`."""
    return any(_CAPTIONS.fullmatch(path.name) for path in (folder / "annotations").glob("*.json"))


def read_coco(folder: Path, *, max_skipped: float = MAX_SKIPPED, annotated: bool = False) -> Table:
    """COCO captions (Chen et al., 2015): annotations/captions_*.json and the picture folders they name beside.

    annotated: also things with boxes and masks from annotations/instances_*.json (Lin et al., 2014), and questions
    where VQA's files lie in the folder (see `read_vqa`). Raises DataError.
    """
    skipped = SkipLog(max_skipped)
    rows: list[Row] = []
    total = 0
    for path in sorted((folder / "annotations").glob("captions_*.json")):
        named = _CAPTIONS.fullmatch(path.name)
        pictures = None if named is None else first_folder(folder / named[1], folder / "images" / named[1])
        if named is None or pictures is None:
            skipped.add(path.name, f"no pictures: {path.stem.removeprefix('captions_')} is not beside annotations")
            total += 1
            continue
        records = _records(path, named[1].rstrip("0123456789"))
        made, read = gather(records, lambda name, root=pictures: find_picture(root, name), skipped)
        total += read
        if annotated:
            made, more = _annotated(folder, named[1], made, skipped)
            total += more
        rows += made
    return finished_table(str(folder), rows, skipped, total)


def _records(path: Path, split: str) -> Iterator[Record]:
    with in_form(path, "COCO's caption format"):
        values = read_json(path)
        files = {image["id"]: image["file_name"] for image in values["images"]}
        for said in values["annotations"]:
            key = f"{path.name}:annotation {said['id']}"
            attributes = {"split": split, "image_id": str(said["image_id"])}
            yield Record(key, files[said["image_id"]], [said["caption"]], attributes)


def _annotated(folder: Path, subset: str, rows: list[Row], skipped: SkipLog) -> tuple[list[Row], int]:
    """The rows with what else is known of their pictures, and how many entries that was."""
    instances, read = Instances({}, {}), 0
    path = folder / "annotations" / f"instances_{subset}.json"
    if path.is_file():
        instances, read = read_instances(path, skipped)
    questions, asked = read_questions(folder, subset, skipped)
    found = []
    for row in rows:
        picture = row.attributes["image_id"]
        things = tuple(instances.things.get(picture, {}).values())
        captions = tuple(Sentence(caption) for caption in row.captions)
        known = Annotations(things, captions, questions=tuple(questions.get(picture, ())))
        found.append(replace(row, annotations=known))
    return found, read + asked


class Instances(NamedTuple):
    """An instances file. files: picture -> file name; things: picture -> annotation -> thing; all ids as text."""

    files: dict[str, str]
    things: dict[str, dict[str, Instance]]


def read_instances(path: Path, skipped: SkipLog) -> tuple[Instances, int]:
    """COCO's instances, and how many there were; unusable ones are skipped. Raises DataError for another format."""
    with in_form(path, "COCO's instance format"):
        values = read_json(path)
        names = {category["id"]: category["name"] for category in values["categories"]}
        sizes = {image["id"]: (image["height"], image["width"]) for image in values["images"]}
        files = {str(image["id"]): str(image["file_name"]) for image in values["images"]}
        entries = list(values["annotations"])

    def made(entry: dict[str, Any]) -> tuple[str, str, Instance]:
        mask = read_mask(entry["segmentation"], sizes[entry["image_id"]])
        left, top, width, height = entry["bbox"]
        thing = Instance(
            names[entry["category_id"]], corner_box(left, top, width, height), mask, bool(entry["iscrowd"])
        )
        return str(entry["image_id"]), str(entry["id"]), thing

    things: dict[str, dict[str, Instance]] = {}
    for picture, number, thing in usable(path, "id", entries, made, skipped):
        things.setdefault(picture, {})[number] = thing
    return Instances(files, things), len(entries)
