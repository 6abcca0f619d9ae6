"""Class folders and pictures with a text file beside each."""

import os
from pathlib import Path

import pytest
from PIL import Image

from amodal.core.errors import DataError
from amodal.data.folders import NoCaptions, has_sidecars, read_class_folders, read_loose_pictures, read_sidecars


def put(path: Path, colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2), (colour, 0, 0)).save(path)
    return path


def test_class_folders(tmp_path: Path) -> None:
    put(tmp_path / "polar_bear" / "1.png", 7)
    put(tmp_path / "polar_bear" / "more" / "2.JPG")
    put(tmp_path / "cat" / "1.webp")
    (tmp_path / "cat" / "notes.txt").write_text("nothing")
    (tmp_path / "cat" / "._1.png").write_text("left by another system")
    (tmp_path / ".git").mkdir()
    table = read_class_folders(tmp_path)
    assert [row.key for row in table.rows] == ["cat/1.webp", "polar_bear/1.png", "polar_bear/more/2.JPG"]
    assert table.classes == ("cat", "polar bear")
    bear = table.rows[1]
    assert bear.captions == ("polar bear",)
    assert bear.pair == "polar bear"
    assert bear.attributes == {"label": "polar bear", "folder": "polar_bear"}
    assert bear.picture.image().getpixel((0, 0)) == (7, 0, 0)
    assert len(table.skipped) == 0


def test_split_folders(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        put(tmp_path / split / "cat" / "1.png")
        put(tmp_path / split / "dog" / "1.png")
    table = read_class_folders(tmp_path)
    assert table.classes == ("cat", "dog")
    assert [row.key for row in table.split("val").rows] == ["valid/cat/1.png", "valid/dog/1.png"]
    assert len(table.split("train")) == 2


def test_a_class_may_be_called_train_beside_others(tmp_path: Path) -> None:
    put(tmp_path / "train" / "1.png")
    put(tmp_path / "plane" / "1.png")
    assert read_class_folders(tmp_path).classes == ("plane", "train")


def test_empty_and_stray_pictures_are_skipped_and_named(tmp_path: Path) -> None:
    put(tmp_path / "cat" / "1.png")
    (tmp_path / "cat" / "2.png").touch()
    (tmp_path / "cat" / "3.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "cat" / "4.png")
    put(tmp_path / "stray.png")
    table = read_class_folders(tmp_path, max_skipped=1)
    assert dict(table.skipped.entries) == {
        "stray.png": "no class: the picture is not in a class folder",
        "cat/2.png": "empty image file: zero bytes",
        "cat/3.png": "unreadable image file: No such file or directory",
        "cat/4.png": "unreadable image file: not a regular file",
    }
    with pytest.raises(DataError, match="4 of 5 rows"):
        read_class_folders(tmp_path)


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="no class folders with pictures"):
        read_class_folders(tmp_path)
    with pytest.raises(DataError, match="gone cannot be read"):
        read_class_folders(tmp_path / "gone")


def test_loose_pictures_have_no_captions(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg"):
        put(tmp_path / name)
    (tmp_path / "c.png").touch()
    (tmp_path / "notes").mkdir()
    with pytest.raises(NoCaptions, match="holds 3 pictures without captions; give a caption table, "):
        read_class_folders(tmp_path)
    table = read_loose_pictures(tmp_path, max_skipped=0.5)
    assert not table.captioned
    assert [row.key for row in table.rows] == ["a.jpg", "b.png"]
    assert dict(table.skipped.entries) == {"c.png": "empty image file: zero bytes"}
    with pytest.raises(DataError, match="1 of 3 rows"):
        read_loose_pictures(tmp_path)
    put(tmp_path / "cat" / "1.png")
    with pytest.raises(DataError, match="no class: the picture is not in a class folder"):  # not loose alone
        read_class_folders(tmp_path)


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "set")
    assert [row.key for row in read_class_folders(tmp_path / "set").rows] == ["cat/1.png"]


def test_sidecars(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        put(tmp_path / f"{name}.png")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\n")
    (tmp_path / "b.txt").write_text("one\n")
    (tmp_path / "c.txt").write_text("  \n")
    (tmp_path / "d.txt").write_bytes(b"caf\xe9")
    assert has_sidecars(tmp_path)
    table = read_sidecars(tmp_path, max_skipped=1)
    assert [(row.key, row.captions) for row in table.rows] == [("a.png", ("one", "two")), ("b.png", ("one",))]
    found = dict(table.skipped.entries)
    assert found["c.png"] == "empty caption"
    assert found["d.png"].startswith("unreadable caption: d.txt")
    assert found["e.png"] == "no caption: e.txt is not beside it"
    with pytest.raises(DataError, match="3 of 5"):
        read_sidecars(tmp_path)
