"""Shards: random access without unpacking, and every kind of damaged tar."""

import io
import json
import random
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from amodal.core.errors import DataError
from amodal.data.pictures import SpanRef
from amodal.data.rows import Table
from amodal.data.shards import expand_braces, read_shards, shard_paths


def picture(colour: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def write(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def sample(key: str, colour: int = 0, caption: str = "a thing") -> list[tuple[str, bytes]]:
    return [(f"{key}.png", picture(colour)), (f"{key}.txt", caption.encode())]


def reasons(table: Table) -> dict[str, str]:
    return dict(table.skipped.entries)


def test_text_and_json_samples(tmp_path: Path) -> None:
    values = {"caption": ["three", "four"], "width": 8, "ok": True, "url": "u", "none": None, "box": [1]}
    members = [
        ("d/001.png", picture(1)),
        ("d/001.txt", b"one\ntwo\n"),
        ("./d/002.x/003.JPG", picture(2)),
        ("./d/002.x/003.json", json.dumps(values).encode()),
        ("d/004.seg.png", picture(9)),
        ("d/004.webp", picture(3)),
        ("d/004.json", b'{"caption": "five"}'),
    ]
    table = read_shards(write(tmp_path / "a.tar", members))
    assert [row.key for row in table.rows] == ["a.tar:d/001", "a.tar:d/002.x/003", "a.tar:d/004"]
    assert [row.captions for row in table.rows] == [("one", "two"), ("three", "four"), ("five",)]
    assert table.rows[1].attributes == {"width": "8", "ok": "true", "url": "u"}
    for number in (2, 0, 1):
        assert isinstance(table.rows[number].picture, SpanRef)
        assert table.rows[number].picture.image().getpixel((0, 0)) == (number + 1, 0, 0)


def test_folders_patterns_and_pairs(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"s-{number:03d}.tar", sample("0", number, "same"))
    for source in (tmp_path, str(tmp_path / "s-{000..002}.tar"), tmp_path / "s-00{0,1,2}.tar"):
        table = read_shards(source)
        assert [row.key for row in table.rows] == ["s-000.tar:0", "s-001.tar:0", "s-002.tar:0"]
        assert len({row.pair for row in table.rows}) == 1
    with pytest.raises(DataError, match=r"1 of 4 shards are missing, the first is .*s-003\.tar"):
        read_shards(str(tmp_path / "s-{000..003}.tar"))


def test_brace_patterns() -> None:
    assert expand_braces("a{08..11}.tar") == ["a08.tar", "a09.tar", "a10.tar", "a11.tar"]
    assert expand_braces("{a,b}/{0..1}") == ["a/0", "a/1", "b/0", "b/1"]
    assert expand_braces("plain.tar") == ["plain.tar"]
    for pattern in ("{5..1}", "{0..999999999}", "{0..9999}{0..9999}"):
        with pytest.raises(DataError):
            expand_braces(pattern)


def test_incomplete_and_malformed_samples_are_skipped_and_named(tmp_path: Path) -> None:
    members = [
        *sample("good"),
        ("nocaption.png", picture()),
        ("nopicture.txt", b"words"),
        ("empty.txt", b" \n"),
        ("empty.png", picture()),
        ("zero.png", b""),
        ("zero.txt", b"words"),
        ("json.png", picture()),
        ("json.json", b"{"),
        ("latin.png", picture()),
        ("latin.txt", b"caf\xe9"),
        ("._good.png", b"left by another system"),
        ("README", b"no extension"),
    ]
    table = read_shards(write(tmp_path / "a.tar", members), max_skipped=1)
    assert [row.key for row in table.rows] == ["a.tar:good"]
    found = reasons(table)
    assert found["a.tar:nocaption"].startswith("incomplete sample: no caption")
    assert "no picture" in found["a.tar:nopicture"]
    assert found["a.tar:empty"].startswith("incomplete sample: no caption")
    assert found["a.tar:zero"] == "empty picture: zero bytes"
    assert found["a.tar:json"].startswith("malformed text")
    assert found["a.tar:latin"].startswith("malformed text")
    assert len(found) == 6


def test_json_list_is_the_captions(tmp_path: Path) -> None:
    table = read_shards(write(tmp_path / "a.tar", [("1.png", picture()), ("1.json", b'["x", "y", 3]')]))
    assert table.rows[0].captions == ("x", "y")


def test_duplicate_keys_keep_the_first(tmp_path: Path) -> None:
    table = read_shards(write(tmp_path / "a.tar", [*sample("1", 5), *sample("2"), *sample("1", 6)]), max_skipped=1)
    assert [row.key for row in table.rows] == ["a.tar:1", "a.tar:2"]
    assert table.rows[0].picture.image().getpixel((0, 0)) == (5, 0, 0)
    assert [entry.key for entry in table.skipped.entries] == ["a.tar:1", "a.tar:1"]
    assert "duplicate key: a second 1.png at byte" in table.skipped.entries[0].reason


def test_truncated_shards_give_what_is_whole_and_one_entry(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.tar", [member for key in range(8) for member in sample(str(key), key)])
    content = whole.read_bytes()
    with tarfile.open(whole) as archive:
        starts = [member.offset for member in archive.getmembers()] + [archive.offset]
    cut = tmp_path / "cut.tar"
    for length in (starts[9] + 600, starts[9] + 200, starts[10], starts[11] + 512 + 3, starts[16]):
        cut.write_bytes(content[:length])
        table = read_shards(cut, max_skipped=1)
        assert 4 <= len(table) <= 8
        assert len([entry for entry in table.skipped.entries if entry.reason.startswith("truncated shard")]) == 1
        for row in table.rows:
            row.picture.image()


def test_damaged_header_in_the_middle(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "a.tar", [*sample("1"), *sample("2")]).read_bytes())
    with tarfile.open(tmp_path / "a.tar") as archive:
        middle = archive.getmembers()[2].offset
    content[middle : middle + 200] = b"\xff" * 200
    (tmp_path / "a.tar").write_bytes(content)
    table = read_shards(tmp_path / "a.tar", max_skipped=1)
    assert [row.key for row in table.rows] == ["a.tar:1"]
    assert "nothing can be read from byte" in reasons(table)["a.tar"]


def test_random_damage_raises_nothing_else(tmp_path: Path) -> None:
    content = write(tmp_path / "a.tar", [member for key in range(4) for member in sample(str(key))]).read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        headers = [member.offset for member in archive.getmembers()]
    chance = random.Random(0)
    read = 0
    for _ in range(300):
        spoilt = bytearray(content)
        for _ in range(chance.randint(1, 6)):
            spoilt[chance.choice(headers) + chance.randrange(512)] = chance.randrange(256)
        if chance.random() < 0.5:  # a checksum that fits the damage
            at = chance.choice(headers)
            spoilt[at + 148 : at + 156] = b" " * 8
            spoilt[at + 148 : at + 156] = b"%06o\0 " % sum(spoilt[at : at + 512])
        (tmp_path / "b.tar").write_bytes(spoilt)
        try:
            read += len(read_shards(tmp_path / "b.tar", max_skipped=1))
        except DataError:
            continue
    assert read > 100


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_SPARSE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_sparse_and_special_members_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in sample("1"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo("2.png")
        info.type, info.linkname = kind, "" if kind == tarfile.GNUTYPE_SPARSE else "1.png"
        archive.addfile(info)
    table = read_shards(path, max_skipped=1)
    assert [row.key for row in table.rows] == ["a.tar:1"]
    assert any("refused member: 2.png" in entry.reason for entry in table.skipped.entries)


def test_no_tar_compressed_tar_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "letter.tar").write_text("Dear all, " * 200)
    (tmp_path / "empty.tar").touch()
    with tarfile.open(tmp_path / "z.tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("1.png"))
    for name in ("letter.tar", "empty.tar", "z.tar"):
        with pytest.raises(DataError, match=f"{name} is no readable uncompressed tar"):
            read_shards(tmp_path / name)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"names no \.tar file"):
        shard_paths(tmp_path / "none")


def test_reads_what_webdataset_writes(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as writer:
        writer.write({"__key__": "k1", "png": picture(4), "txt": "a caption", "json": {"language": "en"}})
    table = read_shards(tmp_path / "w.tar")
    assert table.rows[0].captions == ("a caption",)
    assert table.rows[0].attributes == {"language": "en"}
    assert table.rows[0].picture.image().getpixel((0, 0)) == (4, 0, 0)
