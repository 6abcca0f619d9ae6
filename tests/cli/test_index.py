"""amodal index and amodal search: what they print, what they refuse, and that a second run loads no torch."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import amodal

NO_TORCH = """
import sys
from amodal.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("heavy:", [name for name in ("torch", "lancedb", "transformers") if name in sys.modules])
"""


@pytest.fixture(scope="module")
def indexed(cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("indexed") / "shapes.index"
    answer = cli("index", shapes, "--out", where, "--model", tiny_run, "--json")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert (said["pictures"], said["added"], said["embedded"], said["version"]) == (48, 48, 48, 1)
    assert f"model: {tiny_run}" in answer.err
    assert "exact search" in answer.err
    return where


def test_search_by_words(cli: Callable[..., Any], indexed: Path, shapes: Path) -> None:
    answer = cli("search", indexed, "a red circle", "--top", 4, "--json")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert said["no_match"] is None
    assert [result["probability"] for result in said["results"]] == [None] * 4
    assert all(result["path"].startswith(f"{shapes.parent}/red-circle") for result in said["results"])
    assert said["total"] == 48
    lines = cli("search", indexed, "a red circle", "--top", 2)
    assert "red-circle" in lines.out.splitlines()[0]
    assert "page 1: 2 results, of 48 pictures in all; scores are cosines; more with --page 2" in lines.err


def test_paths_alone(cli: Callable[..., Any], indexed: Path) -> None:
    answer = cli("search", indexed, "a red circle", "--paths", "--top", 5)
    assert len(answer.out.splitlines()) == 5
    assert all(Path(line).is_file() for line in answer.out.splitlines())


def test_pictures_filters_and_pages(cli: Callable[..., Any], indexed: Path, shapes: Path) -> None:
    picture = shapes.with_name("blue-square-0.png")
    assert cli("search", indexed, picture, "--paths", "--top", 1).out.strip() == str(picture)
    words = ("search", indexed, "circle", "--where", "split = 'test'", "--json", "--top", 3)
    pages = [json.loads(cli(*words, "--page", page).out) for page in (1, 2)]
    assert [page["total"] for page in pages] == [12, 12]
    found = [result["path"] for page in pages for result in page["results"]]
    assert len(set(found)) == 6
    assert all("-3.png" in path for path in found)
    away = json.loads(cli("search", indexed, "circle", "--minus", "red", "--json", "--top", 8).out)
    assert not any("red" in result["path"] for result in away["results"] if result["exact"])


def test_the_same_from_python(tiny_run: Path, indexed: Path) -> None:
    index = amodal.load(tiny_run).open_index(indexed)
    page = index.search("a red circle", top=3)
    assert len(page) == 3
    thumbnail = index.thumbnail(page.results[0])
    assert thumbnail is not None
    assert thumbnail.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("index", "photos"), 2, "where is the index? name it"),
        (("index", "--out", "x"), 2, "what is to be indexed? name it"),
        (("index", "nowhere", "--out", "x"), 1, "nowhere is not there; give a folder"),
        (("search", "nowhere", "dog"), 1, "there is no index at nowhere"),
        (("search", "INDEX", "dog", "--where", "yeer > 1"), 2, "No field named yeer"),
        (("search", "INDEX", "gone/dog.png"), 2, "there is no picture gone/dog.png"),
        (("search", "INDEX", "dog", "--sort", "size"), 2, "sort is score or date"),
        (("search", "INDEX", "dog", "--page", "0"), 2, ""),
        (("index", "--out", "INDEX", "--roll-back", "0"), 2, "has no version 0; it has 1 to"),
        (("index", "s3://bucket/a", "--out", "x", "--watch"), 2, "cannot be watched"),
        (("search", "INDEX", "dog", "--at-least", "nan"), 2, "a cosine lies between -1 and 1"),
        (("index", "--out", "INDEX", "--roll-back", "7"), 2, "has no version 7; it has 1 to"),
    ],
)
def test_wrong_calls_are_told(
    cli: Callable[..., Any],
    indexed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: Any,
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = cli(*(str(indexed) if word == "INDEX" else word for word in words))
    assert answer.code == code, answer.err
    assert said in answer.err
    assert not list(tmp_path.iterdir())


def test_a_model_that_has_moved_is_named(
    cli: Callable[..., Any], indexed: Path, tiny_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(indexed, tmp_path / "index")
    moved = tiny_run.rename(tmp_path / "moved")
    try:
        answer = cli("search", tmp_path / "index", "a red circle")
        assert answer.code == 2
        assert f"was made with {tiny_run}; say by --model where it is now" in answer.err
        assert cli("search", tmp_path / "index", "a red circle", "--model", moved).code == 0
    finally:
        moved.rename(tiny_run)


def test_another_model_is_refused(cli: Callable[..., Any], indexed: Path, tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "other")
    recipe = (tmp_path / "other" / "recipe.yaml").read_text()
    (tmp_path / "other" / "recipe.yaml").write_text(recipe.replace("image_size: 32", "image_size: 40"))
    answer = cli("search", indexed, "dog", "--model", tmp_path / "other")
    assert answer.code == 1
    assert "cannot be searched with" in answer.err


def test_a_second_run_loads_neither_torch_nor_the_database(indexed: Path, tiny_run: Path, shapes: Path) -> None:
    command = [sys.executable, "-c", NO_TORCH, "index", str(shapes), "--out", str(indexed), "--model", str(tiny_run)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "nothing changed; 48 pictures in" in done.stderr
    assert "heavy: []" in done.stdout


def test_encoded_vectors_are_used(cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    vectors, where = tmp_path / "vectors.parquet", tmp_path / "index"
    assert cli("encode", shapes, "--out", vectors, "--model", tiny_run, "--type", "float16").code == 0
    answer = cli("index", shapes, "--out", where, "--model", tiny_run, "--embeddings", vectors, "--json")
    assert (json.loads(answer.out)["embedded"], json.loads(answer.out)["pictures"]) == (0, 48)
    picture = shapes.with_name("blue-square-0.png")
    found = amodal.load(tiny_run).open_index(where).search(picture, top=1).results[0]
    assert found.score == pytest.approx(1, abs=2e-3)
    answer = cli("index", shapes, "--out", tmp_path / "second", "--embeddings", vectors)
    assert answer.code == 1
    assert "holds vectors of another model" in answer.err


def test_versions(cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    folder, where = tmp_path / "photos", tmp_path / "index"
    folder.mkdir()
    for name in ("red-circle-0.png", "blue-square-0.png"):
        shutil.copy(shapes.with_name(name), folder)
    for _ in range(2):
        assert cli("index", folder, "--out", where, "--model", tiny_run).code == 0
        (folder / "red-circle-0.png").unlink(missing_ok=True)
    said = json.loads(cli("index", "--out", where, "--roll-back", 1, "--json").out)
    assert [version["pictures"] for version in said["versions"]] == [2, 1, 2]
    lines = cli("index", "--out", where, "--versions").out.splitlines()
    assert len(lines) == 3
    assert "1 deleted" in lines[1]
    assert len(cli("index", "--out", where, "--forget").out.splitlines()) == 1
