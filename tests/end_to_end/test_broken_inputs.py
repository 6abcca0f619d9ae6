"""Broken inputs through the real command line: each is named, few are tolerated and many are an error, nothing is left
half-written, and nobody sees a traceback."""

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from amodal.runs import RunFolder

NOBODY = 65534
SLOW = pytest.mark.slow


def told(answer: Any, *words: object, codes: tuple[int, ...] = (1, 2)) -> None:
    """Asserts that the answer is an error that a person can use: its code, these words, no traceback, no output."""
    assert answer.code in codes, answer
    assert "Traceback" not in answer.err
    assert "unexpected" not in answer.err
    assert not answer.out
    assert all(str(word) in answer.err for word in words), answer.err


def cut_jpeg(path: Path) -> None:
    content = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(content, "JPEG")
    path.write_bytes(content.getvalue()[: len(content.getvalue()) // 2])


def bomb(path: Path) -> None:
    """A PNG of some 100 bytes that says it is 60,000 pixels wide and high."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"0" * 99)) + chunk(b"IEND", b""))


PICTURES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated JPEG": ("broken.jpg", cut_jpeg, "damaged or cut short"),
    "zero bytes": ("broken.png", lambda path: path.write_bytes(b""), "zero bytes"),
    "text renamed .png": ("broken.png", lambda path: path.write_text("not a picture"), "this is text, not a picture"),
    "bomb": ("broken.png", bomb, "too many pixels"),
}
ROWS: dict[str, tuple[str, str]] = {
    "missing file": ("none.png,a red circle,test", "missing image file: none.png"),
    "empty caption": ("red-circle-3.png,  ,test", "empty caption"),
    "duplicate row": ("red-circle-3.png,a red circle,test", "duplicate row"),
    "ragged row": ("red-circle-3.png,a red circle, or so,test", "4 fields where the header has 3"),
    "address": ("https://example.org/a.png,a red circle,test", "nothing is fetched"),
}


@pytest.fixture
def table(shapes: Path, tmp_path: Path) -> Path:
    """A copy of the shapes that may be damaged."""
    return shutil.copytree(shapes.parent, tmp_path / "data") / "pairs.csv"


def add(table: Path, *lines: str) -> str:
    """Adds lines to a table. -> the key of the first"""
    text = table.read_text().rstrip("\n")
    table.write_text("\n".join([text, *lines]) + "\n")
    return f"{table.name}:{text.count(chr(10)) + 2}"


@pytest.fixture(params=[*PICTURES, *ROWS])
def broken(request: pytest.FixtureRequest, table: Path) -> tuple[Path, str, str]:
    """A table with one broken row, the key of that row, and what has to be said of it."""
    if request.param in ROWS:
        line, reason = ROWS[request.param]
        return table, add(table, line), reason
    name, damage, reason = PICTURES[request.param]
    damage(table.with_name(name))
    return table, add(table, f"{name},a red circle,test"), reason


def test_one_broken_row_is_named_and_not_fatal(
    cli: Callable[..., Any], tiny_run: Path, tmp_path: Path, broken: tuple[Path, str, str]
) -> None:
    table, key, reason = broken
    for words in (("evaluate", tiny_run, "--data", table), ("encode", table, "--model", tiny_run)):
        answer = cli(*words, *(("--out", tmp_path / "out.parquet") if words[0] == "encode" else ()))
        assert answer.code == 0, answer.err
        (line,) = (line for line in answer.err.splitlines() if line.startswith(f"skipped {key}: "))
        assert reason in line


def test_too_many_broken_rows_are_an_error(
    cli: Callable[..., Any], tiny_run: Path, tiny_recipe: Path, table: Path, tmp_path: Path
) -> None:
    keys = []
    for number, (name, damage, _) in enumerate(PICTURES.values()):
        path = table.with_name(f"{number}-{name}")
        damage(path)
        keys.append(add(table, f"{path.name},a red circle,train"))
    keys += [add(table, line) for line, _ in ROWS.values()]
    run = RunFolder(tmp_path / "run")
    train = ("train", tiny_recipe, "--data", table, "--out", run.path, "--set", "training.epochs=1")
    for words in (
        ("evaluate", tiny_run, "--data", table),
        ("encode", table, "--model", tiny_run, "--out", tmp_path / "out.parquet"),
        train,
    ):
        told(cli(*words), "the limit is 5.0%", "data.max_skipped", codes=(1,))
    assert not (tmp_path / "out.parquet").exists()
    assert not run.weights.exists()
    assert not run.is_finished
    answer = cli(*train, "--set", "data.max_skipped=0.5")
    assert answer.code == 0, answer.err
    skipped = json.loads(run.skipped.read_text())["entries"]
    assert sorted(entry["key"] for entry in skipped) == sorted(keys)


@pytest.mark.parametrize("kind", PICTURES)
def test_classify_names_the_broken_picture(cli: Callable[..., Any], tiny_run: Path, tmp_path: Path, kind: str) -> None:
    name, damage, reason = PICTURES[kind]
    damage(tmp_path / name)
    answer = cli("classify", tmp_path / name, "--labels", "a,b", "--model", tiny_run)
    told(answer, tmp_path / name, "" if kind == "zero bytes" else reason, codes=(1,))


TABLES: dict[str, tuple[bytes, str]] = {
    "wrong encoding": ("image,caption\na.png,a caf\xe9\n".encode("latin-1"), "row 2, byte 25 is not UTF-8"),
    "UTF-16": ("image,caption\na.png,a cat\n".encode("utf-16"), "save it as UTF-8"),
    "missing column": (b"picture,caption\na.png,a cat\n", "has no column 'image'"),
    "no caption column": (b"image,words\na.png,a cat\n", "has no column 'caption'"),
    "empty file": (b"", "is empty"),
    "only a header": (b"image,caption\n", "holds no usable row"),
    "open quote": (b'image,caption\na.png,"a cat\n', "is never closed"),
    "binary": (bytes(range(256)), "is not UTF-8"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_that_cannot_be_read(
    cli: Callable[..., Any], tiny_run: Path, tiny_recipe: Path, tmp_path: Path, kind: str
) -> None:
    content, reason = TABLES[kind]
    table = tmp_path / "captions.csv"
    table.write_bytes(content)
    told(cli("evaluate", tiny_run, "--data", table), table, reason, codes=(1,))
    told(cli("train", tiny_recipe, "--data", table, "--out", tmp_path / "run"), table, reason, codes=(1,))
    told(cli("encode", table, "--model", tiny_run, "--out", tmp_path / "a.parquet"), table, reason, codes=(1,))
    assert [path.name for path in tmp_path.iterdir()] == ["captions.csv"]


def test_an_empty_folder(cli: Callable[..., Any], tiny_run: Path, tmp_path: Path) -> None:
    told(cli("evaluate", tiny_run, "--data", tmp_path), tmp_path, "holds no class folders with pictures")
    told(cli("classify", tmp_path, "--labels", "a,b", "--model", tiny_run), tmp_path, "holds no picture", codes=(2,))


def test_something_else_as_data(cli: Callable[..., Any], tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.docx").write_bytes(b"PK")
    told(cli("evaluate", tiny_run, "--data", tmp_path / "notes.docx"), "is no source of pictures with captions")
    told(cli("evaluate", tiny_run, "--data", "https://example.org/set"), "nothing is fetched")


def test_a_shard_with_a_duplicate_key(cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    shard = tmp_path / "data-000.tar"
    with tarfile.open(shard, "w") as archive:

        def store(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

        for picture in sorted(shapes.parent.glob("*-3.png")):
            store(picture.name, picture.read_bytes())
            store(f"{picture.stem}.txt", picture.stem.rpartition("-")[0].replace("-", " ").encode())
        store("blue-square-3.txt", b"something else")
    recipe = ("--out", tmp_path / "out.parquet", "--model", tiny_run)
    told(cli("encode", shard, *recipe), "data-000.tar:blue-square-3: duplicate key", "the limit is 5.0%", codes=(1,))
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 3])
    told(cli("encode", shard, *recipe), "data-000.tar", codes=(1,))
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("content", [b"model: [", b"\xff\xfe\x00", b"", b"- a\n- b\n", b"name: x\n"])
def test_a_recipe_that_cannot_be_read(cli: Callable[..., Any], tmp_path: Path, content: bytes) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_bytes(content)
    told(cli("train", recipe, "--out", tmp_path / "run"), recipe, codes=(2,))
    told(cli("train", tmp_path / "none.yaml", "--out", tmp_path / "run"), "none.yaml", codes=(2,))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("evaluate", "RUN", "--data", "captions.csv"), "row 2, byte 25 is not UTF-8"),
        pytest.param(
            ("classify", "broken.jpg", "--labels", "a,b", "--model", "RUN"), "damaged or cut short", marks=SLOW
        ),
    ],
)
def test_the_same_in_a_process_of_its_own(tiny_run: Path, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "captions.csv").write_bytes(TABLES["wrong encoding"][0])
    cut_jpeg(tmp_path / "broken.jpg")
    command = [sys.executable, "-m", "amodal", *(str(tiny_run) if word == "RUN" else word for word in words)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user whom permissions bind: root counts as nobody meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder(cli: Callable[..., Any], tiny_run: Path, shapes: Path) -> Iterator[Path]:
    """A folder that any user may enter and write to, with a run, pictures and a cache in it."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        root = Path(name)
        root.chmod(0o777)
        for source, target in ((tiny_run, root / "run"), (shapes.parent, root / "data")):
            shutil.copytree(source, target).chmod(0o755)
        (root / "cache").mkdir()
        (root / "cache").chmod(0o777)
        patch.setenv("AMODAL_CACHE", str(root / "cache"))
        patch.chdir(root)
        yield root


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are other ones there")
def test_no_permission(cli: Callable[..., Any], tiny_recipe: Path, open_folder: Path) -> None:
    run, data = open_folder / "run", open_folder / "data"
    recipe = open_folder / "tiny.yaml"
    recipe.write_text(tiny_recipe.read_text().replace(str(tiny_recipe.parent), str(data)))
    closed, picture = open_folder / "closed", data / "red-circle-3.png"
    closed.mkdir()
    (closed / "a.png").write_bytes(picture.read_bytes())
    closed.chmod(0o000)
    picture.chmod(0o000)
    locked = open_folder / "locked"
    locked.mkdir(mode=0o555)
    with unprivileged():
        classify = ("--labels", "a,b", "--model", run)
        told(cli("evaluate", run, "--data", closed), closed, "Permission denied", codes=(1,))
        told(cli("encode", closed, "--model", run, "--out", open_folder / "a.parquet"), closed, "Permission denied")
        told(cli("classify", closed, *classify), closed, "Permission denied", codes=(1,))
        told(cli("classify", closed / "a.png", *classify), closed, "Permission denied", codes=(1,))
        told(cli("classify", picture, *classify), picture, "Permission denied", codes=(1,))
        told(cli("train", recipe, "--out", locked / "run"), locked / "run", "Permission denied", codes=(1,))
        told(
            cli("encode", data / "pairs.csv", "--model", run, "--out", locked / "a.parquet"),
            locked,
            "Permission denied",
        )
        one = cli("evaluate", run, "--data", data / "pairs.csv")
        assert one.code == 0, one.err
        assert "Permission denied" in one.err
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AMODAL_CACHE", str(locked / "cache"))
            told(cli("evaluate", run), "feature cache", "AMODAL_CACHE", codes=(1,))
    closed.chmod(0o755)
    assert not list(locked.iterdir())
    assert not (open_folder / "a.parquet").exists()


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[int], None]]:
    """A file system of that size at `folder`; what it gives changes the size."""

    def mount(*options: str) -> int:
        command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode

    folder.mkdir()
    if shutil.which("mount") is None or mount("-o", f"size={kilobytes}k"):
        pytest.skip("a small disk can be mounted by root on Linux only")

    def grow(size: int) -> None:
        assert mount("-o", f"remount,size={size}k") == 0

    try:
        yield grow
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("kilobytes", [4, pytest.param(64, marks=SLOW), 1000, pytest.param(3000, marks=SLOW), 6000])
def test_disk_full_while_training(
    cli: Callable[..., Any], tiny_recipe: Path, tiny_run: Path, tmp_path: Path, kilobytes: int
) -> None:
    """Full at another point each time: before the first file, at the weights, at a checkpoint, at the next one."""
    with small_disk(tmp_path / "disk", kilobytes) as resize:
        run = RunFolder(tmp_path / "disk" / "run")
        train = ("train", tiny_recipe, "--out", run.path, "--set", "training.save_every=0")
        told(cli(*train), "No space left on device", run.path, codes=(1,))
        assert not list(run.path.rglob("*.part"))
        assert not run.is_finished
        resize(64_000)
        words = ("train", "--resume", run.path) if run.recipe.exists() else train
        answer = cli(*words)
        assert answer.code == 0, answer.err
        assert run.weights.read_bytes() == (tiny_run / "model.safetensors").read_bytes()


def test_disk_full_for_vectors_and_cache(
    cli: Callable[..., Any], tiny_run: Path, shapes: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", 12), pytest.MonkeyPatch.context() as patch:
        out = tmp_path / "disk" / "out.parquet"
        told(cli("encode", shapes, "--model", tiny_run, "--out", out), out, "No space left on device", codes=(1,))
        assert not list((tmp_path / "disk").iterdir())
        patch.setenv("AMODAL_CACHE", str(tmp_path / "disk" / "cache"))
        frozen = ("--set", "model.image.trainable=false", "--set", "model.text.trainable=false")
        told(cli("train", tiny_recipe, *frozen, "--out", tmp_path / "run"), "feature cache", "AMODAL_CACHE", codes=(1,))


def test_a_failing_disk_without_root(
    cli: Callable[..., Any], tiny_recipe: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where nothing can be mounted: the rename of the checkpoint fails once."""
    plain = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name == "last":
            raise OSError(28, "No space left on device")
        return plain(self, target)

    run = RunFolder(tmp_path / "run")
    monkeypatch.setattr(Path, "replace", full)
    answer = cli("train", tiny_recipe, "--out", run.path, "--set", "training.save_every=0")
    told(answer, run.last, "No space left on device", f"to go on: amodal train --resume {run.path}", codes=(1,))
    assert not list(run.path.rglob("*.part"))
    monkeypatch.undo()
    assert cli("train", "--resume", run.path).code == 0
    assert run.weights.read_bytes() == (tiny_run / "model.safetensors").read_bytes()
