"""Indexing and encoding that are killed at any moment: what was complete answers, and the next run completes."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import amodal
from amodal.core.files import sha256_of
from amodal.data.pictures import FileRef
from amodal.data.rows import Row, SkipLog
from amodal.search import Embedder, Index, Store

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
OF_COLOURS = """
import sys
from amodal.search import filling, update
sys.path.insert(0, sys.argv[1])
from test_index_kills import of_colours
filling.A_COMMIT = filling.FIRST = 2
update(sys.argv[3], sys.argv[2], of_colours, revision="1")
"""


def start(*words: object, program: str = SMALL_COMMITS) -> subprocess.Popen[str]:
    """`amodal ...` in a process of its own, with a commit every two pictures."""
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE, text=True)


def of_colours(settings: object = None) -> Embedder:
    """A model of one line that is there at once: a picture's vector is its mean colour."""
    print("model: colours", file=sys.stderr, flush=True)

    def images(rows: Sequence[Row], skipped: SkipLog) -> tuple[np.ndarray, list[int]]:
        colour_N3 = [np.asarray(row.picture.image()).mean(axis=(0, 1)) for row in rows]
        unit_ND = np.array([np.append(colour, 1.0) / np.linalg.norm(np.append(colour, 1.0)) for colour in colour_N3])
        time.sleep(0.02 * len(rows))
        return unit_ND, list(range(len(rows)))

    def texts(said: Sequence[str]) -> np.ndarray:
        return np.tile([0.0, 0.0, 0.0, 1.0], (len(said), 1))

    return Embedder(
        name="colours", source="", revision="1", fingerprint="c" * 64, dimension=4, images=images, texts=texts
    )


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


def batter(
    kills: int, index: Callable[[Path, Path], subprocess.Popen[str]], embedder: Embedder, shapes: Path, tmp_path: Path
) -> None:
    """Kills `index` so many times; between them what is there is true, and in the end it is complete."""
    draw, folder, where = random.Random(0), tmp_path / "photos", tmp_path / "photos.index"
    folder.mkdir()
    for path in shapes.parent.glob("*.png"):
        shutil.copy(path, folder)
    vectors: dict[str, np.ndarray] = {}
    killed = 0
    while killed < kills:
        done = kill_while_working(index(folder, where), draw.uniform(0, 1.2))
        killed += done
        for path in folder.rglob("*.png"):
            if (content := sha256_of(path)) not in vectors:
                row = Row(key="", picture=FileRef(path), captions=("",), pair="")
                vectors[content] = embedder.images([row], SkipLog())[0][0]
        for path, (content, vector) in rows_of(where).items():
            assert content in vectors, path
            np.testing.assert_allclose(vector, vectors[content], atol=2e-3)
        if len(rows_of(where)) > 2:
            assert len(Index(str(where), lambda settings: embedder).search("a red circle", top=3)) > 0
        if not done:
            change(folder, draw, shapes.parent)
    process = index(folder, where)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    wanted = {path.relative_to(folder).as_posix(): sha256_of(path) for path in folder.rglob("*.png")}
    assert {path: content for path, (content, _) in rows_of(where).items()} == wanted
    store = Store(str(where))
    assert all(store.thumbnails.get(content) is not None for content in wanted.values())
    assert {path.stem for path in (where / "thumbnails").rglob("*.jpg")} == set(wanted.values())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_a_killed_index_goes_on(tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    def index(folder: Path, where: Path) -> subprocess.Popen[str]:
        return start("index", folder, "--out", where, "--model", tiny_run)

    batter(1, index, amodal.load(tiny_run).embedder, shapes, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
def test_an_index_killed_twenty_times(shapes: Path, tmp_path: Path) -> None:
    def index(folder: Path, where: Path) -> subprocess.Popen[str]:
        return start(Path(__file__).parent, folder, where, program=OF_COLOURS)

    batter(KILLS, index, of_colours(), shapes, tmp_path)


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
