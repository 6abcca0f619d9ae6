"""COCO captions, instances and questions, from small copies in their exact layout."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from amodal.core.errors import DataError
from amodal.data.published import published_reader, read_coco
from amodal.data.sources import open_table

Put = Callable[..., None]


def coco(root: Path, name: str, annotations: list[tuple[int, str]], files: dict[int, str]) -> None:
    values = {
        "info": {},
        "licenses": [],
        "images": [{"id": number, "file_name": file, "height": 4, "width": 4} for number, file in files.items()],
        "annotations": [{"image_id": at, "id": 100 + n, "caption": said} for n, (at, said) in enumerate(annotations)],
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / name).write_text(json.dumps(values))


def test_coco_captions(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "val2017" / "000000000139.jpg")
    put(tmp_path / "train2017" / "000000000009.jpg")
    coco(tmp_path, "captions_val2017.json", [(139, "A room."), (139, "A den. ")], {139: "000000000139.jpg"})
    coco(tmp_path, "captions_train2017.json", [(9, "Food."), (10, "Gone.")], {9: "000000000009.jpg", 10: "gone.jpg"})
    (tmp_path / "annotations" / "instances_val2017.json").write_text("{}")
    assert published_reader(tmp_path) is read_coco
    table = read_coco(tmp_path, max_skipped=0.5)
    [room] = table.split("val").rows
    assert room.captions == ("A room.", "A den.")
    assert room.attributes == {"split": "val", "image_id": "139"}
    assert room.key == "captions_val2017.json:annotation 100"
    assert table.split("train").rows[0].captions == ("Food.",)
    assert table.skipped.entries == (("captions_train2017.json:annotation 101", "missing image file: gone.jpg"),)


def test_coco_without_one_folder_of_pictures_and_damaged(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "images" / "val2014" / "a.jpg")
    coco(tmp_path, "captions_val2014.json", [(1, "A room.")], {1: "a.jpg"})
    coco(tmp_path, "captions_train2014.json", [(2, "x")], {2: "b.jpg"})
    table = read_coco(tmp_path, max_skipped=0.5)
    assert len(table) == 1
    assert "train2014 is not beside annotations" in table.skipped.entries[0].reason
    for content in ('{"images": []}', "{", '{"images": [], "annotations": [{"id": 1, "image_id": 5, "caption": "x"}]}'):
        (tmp_path / "annotations" / "captions_val2014.json").write_text(content)
        with pytest.raises(DataError, match="not in COCO's caption format"):
            read_coco(tmp_path, max_skipped=1)


def test_a_folder_without_captions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no usable row"):
        read_coco(tmp_path)


RUNS = {"counts": [0, 2, 18], "size": [4, 5]}


def instance(number: int, picture: int, segmentation: object, box: list[float], crowd: int = 0) -> dict[str, object]:
    said = {"segmentation": segmentation, "area": 4.0, "iscrowd": crowd, "image_id": picture, "bbox": box}
    return {**said, "category_id": 18, "id": number}


@pytest.fixture
def annotated(tmp_path: Path, put: Put) -> Path:
    """One picture, 5 wide and 4 high, with captions, three dogs drawn in the three published ways, and a question."""
    put(tmp_path / "val2014" / "COCO_val2014_000000000139.jpg", (5, 4))
    coco(tmp_path, "captions_val2014.json", [(139, "Dogs."), (139, "A den.")], {139: "COCO_val2014_000000000139.jpg"})
    things = [
        instance(1, 139, [[1, 1, 3, 1, 3, 3, 1, 3]], [1.0, 1.0, 2.0, 2.0]),
        instance(2, 139, RUNS, [0.0, 0.0, 1.0, 2.0], crowd=1),
        instance(3, 139, {"counts": "02b0", "size": [4, 5]}, [0.0, 0.0, 1.0, 2.0], crowd=1),
    ]
    write_instances(tmp_path, things)
    asked = {"questions": [{"image_id": 139, "question": "How many dogs?", "question_id": 139000}]}
    told = {"question_id": 139000, "answer_type": "number", "multiple_choice_answer": "3", "image_id": 139}
    told["answers"] = [{"answer": "3", "answer_confidence": "yes", "answer_id": n} for n in range(1, 11)]
    (tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps(asked))
    (tmp_path / "v2_mscoco_val2014_annotations.json").write_text(json.dumps({"annotations": [told]}))
    return tmp_path


def write_instances(folder: Path, things: list[dict[str, object]]) -> None:
    values = {
        "images": [{"id": 139, "file_name": "COCO_val2014_000000000139.jpg", "height": 4, "width": 5}],
        "annotations": things,
        "categories": [{"supercategory": "animal", "id": 18, "name": "dog"}],
    }
    (folder / "annotations" / "instances_val2014.json").write_text(json.dumps(values))


def test_instances_and_questions_beside_the_captions(annotated: Path) -> None:
    [row] = open_table(annotated, annotated=True).rows
    assert row.captions == ("Dogs.", "A den.")
    known = row.annotations
    assert known is not None
    assert [(thing.name, thing.crowd) for thing in known.things] == [("dog", False), ("dog", True), ("dog", True)]
    assert [thing.box for thing in known.things] == [(1, 1, 3, 3), (0, 0, 1, 2), (0, 0, 1, 2)]
    drawn, plain, packed = (thing.mask.pixels() for thing in known.things if thing.mask)
    assert np.argwhere(drawn).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert np.argwhere(plain).tolist() == np.argwhere(packed).tolist() == [[0, 0], [1, 0]]
    assert [sentence.text for sentence in known.captions] == ["Dogs.", "A den."]
    assert [(each.text, each.answer) for each in known.questions] == [("How many dogs?", "3")]
    assert open_table(annotated).rows[0].annotations is None


def test_pycocotools_reads_the_same_instances(annotated: Path) -> None:
    [row] = open_table(annotated, annotated=True).rows
    theirs = COCO(str(annotated / "annotations" / "instances_val2014.json"))
    assert row.annotations is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for thing, entry in zip(row.annotations.things, theirs.loadAnns([1, 2, 3]), strict=True):
            assert thing.mask is not None
            assert np.array_equal(thing.mask.pixels(), theirs.annToMask(entry).astype(bool))


def test_bad_instances_are_skipped_and_named(annotated: Path) -> None:
    things = [
        instance(1, 139, RUNS, [0.0, 0.0, 1.0, 2.0]),
        instance(2, 139, [[1, 1]], [0.0, 0.0, 1.0, 2.0]),
        instance(3, 139, RUNS, [0.0, 0.0, 0.0, 2.0]),
        instance(4, 5, RUNS, [0.0, 0.0, 1.0, 2.0]),
        {"id": 5},
    ]
    write_instances(annotated, things)
    table = read_coco(annotated, annotated=True, max_skipped=1)
    assert table.rows[0].annotations is not None
    assert len(table.rows[0].annotations.things) == 1
    reasons = {entry.key: entry.reason.split(":")[0] for entry in table.skipped.entries}
    assert reasons == {
        "instances_val2014.json:id 2": "unusable mask",
        "instances_val2014.json:id 3": "empty box",
        "instances_val2014.json:id 4": "malformed entry",
        "instances_val2014.json:id 5": "malformed entry",
    }
    assert table.skipped.total == 2 + 5 + 1
    (annotated / "annotations" / "instances_val2014.json").write_text("{}")
    with pytest.raises(DataError, match=r"instances_val2014.json is not in COCO's instance format"):
        read_coco(annotated, annotated=True)


def test_what_has_no_annotations_says_so(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "cat" / "1.jpg")
    with pytest.raises(DataError, match="has no annotations that can be read; give the folder of COCO, VQA"):
        open_table(tmp_path, annotated=True)
    with pytest.raises(DataError, match="does not exist"):
        open_table(tmp_path / "gone", annotated=True)
