"""COCO captions, instances and questions, from small copies in their exact layout."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from amodal.core.errors import DataError
from amodal.data.published import published_reader, read_coco

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
