"""RefCOCO, from a small copy in its exact layout, with the pickle as Python 2 wrote it."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amodal.core.errors import DataError
from amodal.data.published import published_reader, read_refcoco
from amodal.data.sources import open_table

Put = Callable[..., None]
SQUARE = [[1.0, 1.0, 5.0, 1.0, 5.0, 4.0, 1.0, 4.0]]


def reference(number: int, picture: int, thing: int, split: str, *said: str) -> dict[str, Any]:
    sentences = [
        {"tokens": text.split(), "raw": text.upper(), "sent_id": 10 * number + n, "sent": text}
        for n, text in enumerate(said)
    ]
    return {
        "sent_ids": [each["sent_id"] for each in sentences],
        "file_name": f"COCO_train2014_{picture:012d}_{thing}.jpg",
        "ann_id": thing,
        "ref_id": number,
        "image_id": picture,
        "split": split,
        "sentences": sentences,
        "category_id": 1,
    }


def instances(folder: Path, things: list[tuple[int, int]]) -> None:
    annotations = [
        {"segmentation": SQUARE, "area": 12.0, "iscrowd": 0, "image_id": picture, "bbox": [1.0, 1.0, 4.0, 3.0]}
        | {"category_id": 1, "id": thing}
        for picture, thing in things
    ]
    pictures = [
        {"id": number, "file_name": f"COCO_train2014_{number:012d}.jpg", "height": 8, "width": 9, "license": 1}
        for number in dict.fromkeys(picture for picture, _ in things)
    ]
    names = [{"supercategory": "person", "id": 1, "name": "person"}]
    values = {"info": {}, "licenses": [], "images": pictures, "annotations": annotations, "categories": names}
    (folder / "instances.json").write_text(json.dumps(values))


def python2(value: Any) -> bytes:
    """Protocol 0 with byte strings, as cPickle wrote `str`."""
    if isinstance(value, dict):
        return b"(d" + b"".join(python2(key) + python2(each) + b"s" for key, each in value.items())
    if isinstance(value, list):
        return b"(l" + b"".join(python2(each) + b"a" for each in value)
    if isinstance(value, int):
        return b"I%d\n" % value
    return b"S" + ascii(value.encode())[1:].encode() + b"\n"


REFERENCES = [
    reference(0, 581857, 1719310, "train", "the lady with the blue shirt", "lady w back to us"),
    reference(1, 581857, 1719311, "train", "blue shirt", "café man"),
    reference(2, 32, 5, "testA", "man"),
]


@pytest.fixture
def refcoco(tmp_path: Path, put: Put) -> Path:
    folder = tmp_path / "refcoco"
    folder.mkdir()
    for number in (581857, 32):
        put(tmp_path / "images" / "mscoco" / "images" / "train2014" / f"COCO_train2014_{number:012d}.jpg", (9, 8))
    instances(folder, [(581857, 1719310), (581857, 1719309), (581857, 1719311), (32, 5)])
    (folder / "refs(unc).p").write_bytes(python2(REFERENCES) + b".")
    return folder


def test_expressions_with_the_things_that_they_mean(refcoco: Path) -> None:
    assert published_reader(refcoco) is read_refcoco
    table = open_table(refcoco, annotated=True)
    [row] = table.split("train").rows
    said = ("the lady with the blue shirt", "lady w back to us", "blue shirt", "café man")
    assert row.captions == said
    assert row.key == "refs(unc).p:image_id 581857"
    assert row.attributes == {"split": "train", "image_id": "581857"}
    known = row.annotations
    assert known is not None
    assert [thing.box for thing in known.things] == [(1, 1, 5, 4)] * 3
    mask = known.things[0].mask
    assert mask is not None
    assert mask.pixels().sum() == 12
    assert tuple(each.text for each in known.regions) == said
    assert [each.phrases[0].things for each in known.regions] == [(0,), (0,), (2,), (2,)]
    assert [each.phrases[0].chain for each in known.regions] == ["0", "0", "1", "1"]
    assert [row.captions for row in table.split("testA").rows] == [("man",)]


def test_both_pickles_give_the_same(refcoco: Path) -> None:
    before = open_table(refcoco, annotated=True).rows
    (refcoco / "refs(unc).p").write_bytes(pickle.dumps(REFERENCES, protocol=2))
    assert open_table(refcoco, annotated=True).rows == before


def test_of_several_pickles_one_is_named(refcoco: Path) -> None:
    (refcoco / "refs(unc).p").rename(refcoco / "refs(umd).p")
    (refcoco / "refs(google).p").write_bytes(pickle.dumps(REFERENCES[2:], protocol=2))
    assert len(open_table(refcoco)) == 2
    assert [row.key for row in open_table(refcoco / "refs(google).p").rows] == ["refs(google).p:image_id 32"]
    assert open_table(refcoco / "refs(google).p", annotated=True).rows[0].annotations is not None


class _Command:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("echo this must never run > /dev/null",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps([_Command()]), "asks for posix.system, which is not allowed"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "asks for builtins.eval"),
        (pickle.dumps({"refs": []}), "no list of references but dict"),
        (b"(l", "no pickle of references"),
        (b"", "Ran out of input"),
    ],
)
def test_pickles_that_are_something_else_are_refused(refcoco: Path, content: bytes, reason: str) -> None:
    (refcoco / "refs(unc).p").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_refcoco(refcoco, max_skipped=1)


def test_bad_entries_are_skipped_and_named(refcoco: Path) -> None:
    bad = [reference(3, 581857, 99, "train", "gone"), reference(4, 32, 5, "val", " "), {"ref_id": 5}, 6]
    bad += [reference(7, 44, 8, "val", "no picture")]
    instances(refcoco, [(581857, 1719310), (581857, 1719311), (32, 5), (44, 8)])
    (refcoco / "refs(unc).p").write_bytes(pickle.dumps(REFERENCES + bad, protocol=2))
    table = read_refcoco(refcoco, max_skipped=1)
    assert {entry.key: entry.reason for entry in table.skipped.entries} == {
        "refs(unc).p:ref_id 3": "unknown thing: annotation 99 of picture 581857 is not in instances.json",
        "refs(unc).p:ref_id 4": "empty expression",
        "refs(unc).p:ref_id 5": "malformed entry: KeyError('image_id')",
        "refs(unc).p:entry 7": "malformed entry: TypeError(\"'int' object is not subscriptable\")",
        "refs(unc).p:image_id 44": "missing image file: COCO_train2014_000000000044.jpg",
    }


def test_what_is_missing_is_said(refcoco: Path, tmp_path: Path) -> None:
    (refcoco / "instances.json").write_text("{}")
    with pytest.raises(DataError, match=r"instances.json is not in COCO's instance format"):
        read_refcoco(refcoco)
    (refcoco / "instances.json").unlink()
    with pytest.raises(DataError, match=r"instances.json cannot be read"):
        read_refcoco(refcoco)
    with pytest.raises(DataError, match="has no refs"):
        read_refcoco(tmp_path)
    instances(refcoco, [(32, 5)])
    (refcoco / "refs(unc).p").write_bytes(pickle.dumps(REFERENCES[2:]))
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="has no pictures; put COCO's train2014"):
        read_refcoco(refcoco)
