"""Files: read back by pycocotools, by our own readers and by their pixels; whole or absent."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools.coco import COCO

from amodal.core.errors import UsageError
from amodal.data.scenes import Scenes, export, load_pool, run_lengths, write_scenes
from amodal.data.sources import open_table

COUNT = 12
SCENES = Scenes("train", seed=6, count=COUNT)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "scenes"
    write_scenes(SCENES, out)
    return out


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("coco")  # there and empty, which will do
    write_scenes(SCENES, out, "coco")
    return out


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        (["001", "011"], [3, 3]),
        (["11", "11"], [0, 4]),
        (["00", "00"], [4]),
        (["10", "01"], [0, 1, 2, 1]),
    ],
)
def test_run_lengths_by_hand(rows: list[str], counts: list[int]) -> None:
    """Down the columns: of 001 over 011 they are 00, 01 and 11."""
    mask = np.array([[character == "1" for character in row] for row in rows])
    assert run_lengths(mask) == {"counts": counts, "size": list(mask.shape)}


def test_pycocotools_reads_the_same_boxes_and_masks(coco: Path) -> None:
    read = COCO(str(coco / "annotations.json"))
    assert len(read.getImgIds()) == COUNT
    for scene in SCENES.stream():
        (picture,) = read.loadImgs([scene.number + 1])
        assert (np.asarray(Image.open(coco / picture["file_name"])) == scene.picture).all()
        found = read.loadAnns(read.getAnnIds(imgIds=[scene.number + 1]))
        for annotation, thing, mask in zip(found, scene.things, scene.masks, strict=True):
            left, top, right, bottom = thing.box
            assert (read.annToMask(annotation) == mask).all()
            assert annotation["bbox"] == [left, top, right - left, bottom - top]
            assert annotation["area"] == mask.sum()
            assert read.loadCats([annotation["category_id"]])[0]["name"] == load_pool().names[thing.concept]


@pytest.mark.parametrize("kind", ["shards", "coco"])
def test_our_own_readers_read_captions_and_pictures(kind: str, request: pytest.FixtureRequest) -> None:
    table = open_table(request.getfixturevalue(kind))
    assert len(table) == COUNT
    assert not len(table.skipped)
    for row, scene in zip(table.rows, SCENES.stream(), strict=True):
        assert row.captions == tuple(dict.fromkeys(caption.text for caption in scene.captions))
        assert row.attributes["split"] == "train"
        assert (np.asarray(row.picture.image()) == scene.picture).all()


def test_a_record_says_all_of_a_scene(coco: Path) -> None:
    rows = pq.read_table(coco / "captions.parquet").to_pylist()
    for row, scene in zip(rows, SCENES.stream(), strict=True):
        things = json.loads(row["things"])
        assert [tuple(thing["box"]) for thing in things] == [thing.box for thing in scene.things]
        captions = json.loads(row["captions"])
        assert [caption["text"] for caption in captions] == row["caption"]
        start, end, role, places = captions[0]["words"][0]
        noun = captions[0]["text"][start:end]
        assert role == "noun"
        assert all(things[place]["name"][:2] == noun[:2] for place in places)
        assert json.loads(row["tags"]) == list(scene.tags)
        assert len(json.loads(row["questions"])) == len(scene.questions)
        assert len(json.loads(row["falsehoods"])) == len(scene.falsehoods)


@pytest.mark.parametrize("kind", ["shards", "coco"])
def test_licences_seed_and_versions_are_written(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    attribution = (folder / "ATTRIBUTION.txt").read_text(encoding="utf-8")
    assert all(word in attribution for word in ("Noto", "Apache-2.0", "Twemoji", "CC-BY 4.0", "Changes"))
    made = json.loads((folder / "scenes.json").read_text())
    assert (made["seed"], made["split"], made["count"]) == (6, "train", COUNT)
    assert made["versions"].keys() == {"amodal", "numpy", "pillow"}


def test_the_same_bytes_again(shards: Path, tmp_path: Path) -> None:
    write_scenes(SCENES, tmp_path / "again")
    hashes = [
        hashlib.sha256((folder / "scenes-000000.tar").read_bytes()).digest() for folder in (shards, tmp_path / "again")
    ]
    assert hashes[0] == hashes[1]


def test_several_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PER_SHARD", 5)
    write_scenes(SCENES, tmp_path / "many")
    assert len(list((tmp_path / "many").glob("*.tar"))) == 3
    assert len(open_table(tmp_path / "many")) == COUNT


@pytest.mark.parametrize("form", ["webdataset", "coco"])
def test_a_failure_leaves_nothing(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_late(scene: object) -> bytes:
        monkeypatch.setattr(export, "_png", broken)
        return b"some bytes"

    def broken(scene: object) -> bytes:
        raise OSError(28, "no space left")

    monkeypatch.setattr(export, "_png", fails_late)
    with pytest.raises(OSError, match="no space"):
        write_scenes(SCENES, tmp_path / "out", form)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        write_scenes(SCENES, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="endless"):
        write_scenes(Scenes(), tmp_path / "out")
    with pytest.raises(UsageError, match="webdataset or coco"):
        write_scenes(SCENES, tmp_path / "out", "zip")
    assert not (tmp_path / "out").exists()
