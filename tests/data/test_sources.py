"""The one entrance: every kind of source is recognised, every wrong one refused in words, nothing is written."""

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import amodal.data.sources as sources
from amodal.core.errors import DataError
from amodal.data.pictures import BrokenPicture, FileRef
from amodal.data.rows import Table
from amodal.data.sources import absolute_source, open_pictures, open_table


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    return path


def shard(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in (("1.png", put(path.parent / "x.png").read_bytes()), ("1.txt", b"a thing")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    (path.parent / "x.png").unlink()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Runs as a user who owns nothing, where the tests run as root; else as who runs them."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions of this kind exist on POSIX systems only")
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)
        for root, inside, _ in os.walk(name):
            for folder in inside:
                os.chmod(Path(root, folder), 0o755)


@pytest.mark.parametrize(
    "name", ["captions.csv", "metadata.csv", "captions.jsonl", "metadata.jsonl", "captions.parquet"]
)
def test_folder_with_one_table(tmp_path: Path, name: str) -> None:
    put(tmp_path / "pics" / "a.png")
    if name.endswith("csv"):
        (tmp_path / name).write_text("file_name,text\npics/a.png,a thing\n")
    elif name.endswith("jsonl"):
        (tmp_path / name).write_text('{"file_name": "pics/a.png", "text": "a thing"}\n')
    else:
        pq.write_table(pa.table({"image": ["pics/a.png"], "caption": ["a thing"]}), tmp_path / name)
    before = sorted(tmp_path.rglob("*"))
    for source in (tmp_path, str(tmp_path), tmp_path / name):
        table = open_table(source)
        assert table.rows[0].captions == ("a thing",)
        assert table.rows[0].picture.image().size == (2, 2)
    assert sorted(tmp_path.rglob("*")) == before


def test_two_tables_need_a_choice(tmp_path: Path) -> None:
    for name in ("captions.csv", "metadata.jsonl"):
        (tmp_path / name).write_text("image,caption\n")
    with pytest.raises(DataError, match=r"several caption tables \(captions.csv, metadata.jsonl\)"):
        open_table(tmp_path)


def test_class_folders_sidecars_and_shards(tmp_path: Path) -> None:
    put(tmp_path / "classes" / "cat" / "a.png")
    put(tmp_path / "notes" / "a.png").with_suffix(".txt").write_text("a thing")
    (tmp_path / "tars").mkdir()
    shard(tmp_path / "tars" / "s-0.tar")
    assert open_table(tmp_path / "classes").classes == ("cat",)
    assert open_table(tmp_path / "notes").rows[0].key == "a.png"
    for source in (tmp_path / "tars", tmp_path / "tars" / "s-0.tar", f"{tmp_path}/tars/s-{{0..0}}.tar"):
        assert open_table(source).rows[0].key == "s-0.tar:1"


def test_published_sets_are_recognised(tmp_path: Path) -> None:
    put(tmp_path / "flickr" / "Images" / "1.jpg")
    (tmp_path / "flickr" / "captions.txt").write_text("image,caption\n1.jpg,A dog .\n")
    assert open_table(tmp_path / "flickr").rows[0].captions == ("A dog .",)
    put(tmp_path / "imagenet" / "val" / "n01440764" / "a.jpg")
    assert open_table(tmp_path / "imagenet").classes == ("tench",)


def test_bundled_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Table("bundled", [])
    monkeypatch.setattr(sources, "bundled_table", lambda: wanted)
    assert open_table("bundled") is wanted


def test_max_skipped_reaches_the_reader(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "captions.csv").write_text("image,caption\na.png,x\ngone.png,y\n")
    with pytest.raises(DataError, match=r"(?s)1 of 2 rows.*captions.csv:3: missing image file: gone.png"):
        open_table(tmp_path)
    assert len(open_table(tmp_path, max_skipped=0.5)) == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("https://example.org/data.csv", "nothing is fetched"),
        ("hf://datasets/x", "nothing is fetched"),
        ("{root}/flowrs", "does not exist; in .* there is flowers"),
        ("{root}/no/way", "nor does .*no; check the path"),
        ("{root}/letter.docx", "no source of pictures"),
        ("{root}/letter.docx/in", "does not exist"),
        ("{root}/nul\0.csv", "cannot be read"),
        ("{root}/flowers", "no class folders with pictures"),
    ],
)
def test_what_is_no_source(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "flowers").mkdir()
    (tmp_path / "letter.docx").touch()
    with pytest.raises(DataError, match=reason):
        open_table(source.replace("{root}", str(tmp_path)))


def test_missing_in_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty"):
        open_table(tmp_path / "x")


def test_folders_and_tables_without_permission(open_folder: Path) -> None:
    put(open_folder / "locked" / "cat" / "a.png")
    put(open_folder / "half" / "cat" / "a.png")
    (open_folder / "locked.csv").write_text("image,caption\na.png,x\n")
    for path in (open_folder / "locked", open_folder / "half" / "cat", open_folder / "locked.csv"):
        path.chmod(0)
    (open_folder / "listed").mkdir()
    shard(open_folder / "listed" / "1.tar")
    (open_folder / "listed").chmod(0o744)  # its names may be read, its files not
    said = r"(locked|cat|locked\.csv|listed.*) cannot be read \(Permission denied\).*permission"
    with unprivileged():
        for source in ("locked", "half", "locked.csv", "locked/cat", "listed"):
            with pytest.raises(DataError, match=said):
                open_table(open_folder / source)


def test_pictures_without_permission(open_folder: Path) -> None:
    secret = put(open_folder / "secret.png")
    secret.chmod(0)
    put(open_folder / "inside" / "a.png")
    (open_folder / "captions.csv").write_text("image,caption\ninside/a.png,x\nsecret.png,y\n")
    (open_folder / "inside").chmod(0)
    with unprivileged():
        with pytest.raises(BrokenPicture, match=r"secret\.png: cannot be read \(Permission denied\)"):
            FileRef(secret).image()
        table = open_table(open_folder, max_skipped=0.5)
    assert table.skipped.entries[0].key == "captions.csv:2"
    assert table.skipped.entries[0].reason.startswith("unreadable image file: inside/a.png")


def test_pictures_alone_will_do_where_no_captions_are_needed(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    assert [row.key for row in open_pictures(tmp_path).rows] == ["a.png"]
    with pytest.raises(DataError, match="without captions"):
        open_table(tmp_path)
    (tmp_path / "a.txt").write_text("an a")
    assert open_pictures(tmp_path).rows[0].captions == ("an a",)
    with pytest.raises(DataError, match="does not exist"):
        open_pictures(tmp_path / "gone")


def test_a_source_is_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for source, whole in {
        "bundled": "bundled",
        "https://example.org/a.csv": "https://example.org/a.csv",
        "a.csv": f"{tmp_path}/a.csv",
        "~/a": f"{tmp_path}/home/a",
        "b/../a.csv": f"{tmp_path}/a.csv",
        "link/a.csv": f"{tmp_path}/real/a.csv",
        "a-{000..009}.tar": f"{tmp_path}/a-{{000..009}}.tar",
        "odd:name.csv": f"{tmp_path}/odd:name.csv",
    }.items():
        assert absolute_source(source) == whole
        assert absolute_source(whole) == whole


def test_an_album_is_read_with_all_below_it_and_a_stray_archive_changes_nothing(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "2019/c.png", "2020/may/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(tmp_path / name)
    for _ in range(2):
        table = open_pictures(tmp_path)
        assert sorted(row.key for row in table.rows) == ["2019/c.png", "2020/may/d.png", "a.png", "b.png"]
        assert not table.captioned
        (tmp_path / "backup.tar").write_bytes(b"")
