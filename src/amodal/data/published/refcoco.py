"""RefCOCO, RefCOCO+ and RefCOCOg: expressions that mean one thing of a picture."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from amodal.core.errors import DataError
from amodal.data.annotations import Annotations, Sentence, said_of
from amodal.data.masks import BadAnnotation
from amodal.data.pictures import PICTURE_SUFFIXES
from amodal.data.published.coco import Instances, read_instances
from amodal.data.published.documents import first_folder, usable
from amodal.data.published.pickles import PICKLE_ERRORS, not_a_pickle, plain_pickle
from amodal.data.rows import MAX_SKIPPED, Row, SkipLog, Table, finished_table
from amodal.data.tables import Record, find_picture, gather

_SPLIT_BY = ("unc", "umd", "google")  # the first that is there is taken: umd's RefCOCOg has a test split, google's none


class _Reference(NamedTuple):
    """A thing of a picture and what people called it; all ids as text."""

    number: str
    picture: str
    thing: str
    split: str
    said: tuple[str, ...]


def references(folder: Path) -> Path | None:
    """The pickle of references in `folder`, if there is one."""
    return next((path for name in _SPLIT_BY if (path := folder / f"refs({name}).p").is_file()), None)


def read_refcoco(given: Path, *, max_skipped: float = MAX_SKIPPED, annotated: bool = False) -> Table:
    """RefCOCO, RefCOCO+ (Yu et al., 2016), RefCOCOg (Mao et al., 2016): refs(unc).p and instances.json of a folder.

    given: the folder, or of several pickles in it the one to read; pictures in train2014 beside it, in it, or in
    images/mscoco/images of either. Of the pickle nothing but plain values is built. A row a picture and split; its
    captions are the expressions. annotated: also all things of the picture with boxes and masks, and in `regions` the
    expressions (`chain`: the reference). Raises DataError.
    """
    path = references(given) if given.is_dir() else given
    if path is None:
        raise DataError(f"{given} has no refs(unc).p, refs(umd).p or refs(google).p; unpack the archive again")
    skipped = SkipLog(max_skipped)
    instances, read = read_instances(path.parent / "instances.json", skipped)
    entries = _entries(path)
    named: dict[str, dict[str, list[_Reference]]] = {}
    for each in usable(path, "ref_id", entries, lambda entry: _reference(entry, instances), skipped):
        named.setdefault(each.split, {}).setdefault(each.picture, []).append(each)
    root = _pictures(path.parent)
    rows: list[Row] = []
    for split, pictures in named.items():
        made, _ = gather(_records(path, split, pictures, instances), lambda name: find_picture(root, name), skipped)
        if annotated:
            made = [_annotated(row, pictures[row.attributes["image_id"]], instances) for row in made]
        rows += made
    return finished_table(str(given), rows, skipped, read + len(entries))


def _entries(path: Path) -> list[Any]:
    try:
        values = plain_pickle(path.read_bytes(), "utf-8")
        if not isinstance(values, list):
            raise TypeError(f"it holds no list of references but {type(values).__name__}")
    except (OSError, *PICKLE_ERRORS) as error:
        raise not_a_pickle(path, "pickle of references", error) from error
    return values


def _reference(entry: dict[str, Any], instances: Instances) -> _Reference:
    picture, thing = str(entry["image_id"]), str(entry["ann_id"])
    if thing not in instances.things.get(picture, {}):
        raise BadAnnotation(f"unknown thing: annotation {thing} of picture {picture} is not in instances.json")
    said = tuple(text for sentence in entry["sentences"] if (text := sentence["sent"].strip()))
    if not said:
        raise BadAnnotation("empty expression")
    return _Reference(str(entry["ref_id"]), picture, thing, str(entry["split"]), said)


def _records(path: Path, split: str, pictures: dict[str, list[_Reference]], instances: Instances) -> Iterator[Record]:
    for picture, found in pictures.items():
        said = [text for reference in found for text in reference.said]
        key = f"{path.name}:image_id {picture}"
        yield Record(key, instances.files[picture], said, {"split": split, "image_id": picture})


def _annotated(row: Row, found: list[_Reference], instances: Instances) -> Row:
    things = instances.things[row.attributes["image_id"]]
    place = {number: index for index, number in enumerate(things)}
    regions: list[Sentence] = [said_of(text, place[each.thing], each.number) for each in found for text in each.said]
    return replace(row, annotations=Annotations(tuple(things.values()), regions=tuple(regions)))


def _pictures(folder: Path) -> Path:
    roots = [base / inner for base in (folder, folder.parent) for inner in ("train2014", "images/train2014", _REFER)]
    found = first_folder(*roots)
    if found is not None:
        return found
    if any(path.suffix in PICTURE_SUFFIXES for path in folder.glob("images/*")):
        return folder / "images"
    raise DataError(f"{folder} has no pictures; put COCO's train2014 in it or beside it")


_REFER = "images/mscoco/images/train2014"  # as github.com/lichengunc/refer lays them out
