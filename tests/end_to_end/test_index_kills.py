"""Indexing and encoding that are killed at any moment: what was complete answers, and the next run completes."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import amodal
from amodal.core.files import sha256_of
from amodal.search import Store

KILLS = 20
SECONDS = 120
SMALL_COMMITS = """
import sys
from amodal.inference import table
from amodal.search import filling
filling.A_COMMIT = filling.FIRST = 2
table.ROWS_A_PART = 4
from amodal.cli import main
sys.argv = ["amodal", *sys.argv[1:]]
main()
"""


def start(*words: object) -> subprocess.Popen[str]:
    """`amodal ...` in a process of its own, with a commit every two pictures."""
    command = [sys.executable, "-c", SMALL_COMMITS, *map(str, words)]
    return subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE, text=True)


def kill_while_working(process: subprocess.Popen[str], seconds: float) -> bool:
    """Kills it so long after it has opened its model. -> whether it was not done by then"""
    assert process.stderr is not None
    end = time.monotonic() + SECONDS
    told: list[str] = []
    while not (told and told[-1].startswith("model: ")):
        told.append(process.stderr.readline())
        assert time.monotonic() < end
        if not told[-1]:  # nothing was left to embed
            assert process.wait() == 0, told
            return False
    time.sleep(seconds)
    killed = process.poll() is None
    process.kill()
    process.communicate()
    return killed


def change(folder: Path, draw: random.Random, source: Path) -> None:
    """A new picture, one that is moved, one that goes and one that becomes another."""
    pictures = sorted(folder.rglob("*.png"))
    shutil.copy(draw.choice(sorted(source.glob("*.png"))), folder / f"new-{draw.random():.6f}.png")
    with (folder / f"new-{draw.random():.6f}.png").open("wb") as stream:
        stream.write(draw.choice(pictures).read_bytes() + draw.randbytes(8))  # new content, the same picture
    moved, gone, other = draw.sample(pictures, 3)
    moved.rename(folder / f"moved-{draw.random():.6f}.png")
    gone.unlink()
    other.write_bytes(draw.choice(sorted(source.glob("*.png"))).read_bytes() + draw.randbytes(8))


def rows_of(where: Path) -> dict[str, tuple[str, list[float]]]:
    """path -> (content, vector) of the table that answers. No path is there twice."""
    store = Store(str(where))
    found = store.growing()
    rows = [] if found is None else store.rows(found[0], ["path", "content", "vector"])
    assert len({row["path"] for row in rows}) == len(rows)
    return {row["path"]: (row["content"], row["vector"]) for row in rows}


def batter(kills: int, run: Path, shapes: Path, tmp_path: Path) -> None:
    """Kills `amodal index` so many times; between them what is there is true, and in the end it is complete."""
    draw, folder, where = random.Random(0), tmp_path / "photos", tmp_path / "photos.index"
    folder.mkdir()
    for path in shapes.parent.glob("*.png"):
        shutil.copy(path, folder)
    model, killed = amodal.load(run), 0
    vectors: dict[str, Any] = {}
    while killed < kills:
        done = kill_while_working(start("index", folder, "--out", where, "--model", run), draw.uniform(0, 1.2))
        killed += done
        for path in folder.rglob("*.png"):
            vectors.setdefault(sha256_of(path), model.encode_image(path))
        for path, (content, vector) in rows_of(where).items():
            assert content in vectors, path
            np.testing.assert_allclose(vector, vectors[content], atol=2e-3)
        if rows_of(where):
            assert len(model.open_index(where).search("a red circle", top=3)) == 3
        if not done:
            change(folder, draw, shapes.parent)
    process = start("index", folder, "--out", where, "--model", run)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    wanted = {path.relative_to(folder).as_posix(): sha256_of(path) for path in folder.rglob("*.png")}
    assert {path: content for path, (content, _) in rows_of(where).items()} == wanted
    store = Store(str(where))
    assert all(store.thumbnails.get(content) is not None for content in wanted.values())
    assert {path.stem for path in (where / "thumbnails").rglob("*.jpg")} == set(wanted.values())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_a_killed_index_goes_on(tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    batter(1, tiny_run, shapes, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_an_index_killed_twenty_times(tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    batter(KILLS, tiny_run, shapes, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_a_killed_encode_goes_on_with_its_parts(tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors.parquet"
    process = start("encode", shapes, "--out", out, "--model", tiny_run)
    end = time.monotonic() + SECONDS
    while not (tmp_path / "vectors.parquet.parts" / "000002.parquet").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.002)
    process.kill()
    process.communicate()
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "vectors.parquet.parts").glob("0*.parquet")}
    process = start("encode", shapes, "--out", out, "--model", tiny_run)
    while process.poll() is None and (tmp_path / "vectors.parquet.parts").exists():
        for name, when in kept.items():
            path = tmp_path / "vectors.parquet.parts" / name
            assert not path.exists() or path.stat().st_mtime_ns == when, "a finished part was written again"
        time.sleep(0.01)
    assert process.wait(SECONDS) == 0, process.communicate()[1]
    assert pq.read_table(out).num_rows == 48
    assert list(tmp_path.iterdir()) == [out]
