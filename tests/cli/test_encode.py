"""amodal encode: the columns of its Parquet, unit vectors, and that the file is whole or absent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import amodal


@pytest.fixture(scope="module")
def encoded(cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("encoded") / "vectors.parquet"
    answer = cli("encode", shapes, "--out", out, "--model", tiny_run)
    assert answer.code == 0, answer.err
    assert "48 rows in" in answer.err
    assert not answer.out
    return out


def test_columns(encoded: Path, tiny_run: Path) -> None:
    table = pq.read_table(encoded)
    assert table.column_names == ["key", "captions", "image_vector", "text_vector"]
    assert table.num_rows == 48
    assert table.column("captions")[0].as_py() == ["a red circle"]
    assert table.column("key")[0].as_py() == "pairs.csv:2"
    assert table.schema.metadata[b"amodal.model"] == str(tiny_run).encode()


def test_vectors_have_unit_length_and_are_those_of_the_model(encoded: Path, tiny_run: Path, shapes: Path) -> None:
    table = pq.read_table(encoded)
    model = amodal.load(tiny_run)
    for name in ("image_vector", "text_vector"):
        vectors = np.array(table.column(name).to_pylist(), np.float32)
        assert vectors.shape == (48, 32)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    picture = model.encode_image(shapes.with_name("red-circle-0.png"))
    np.testing.assert_allclose(table.column("image_vector")[0].as_py(), picture, atol=1e-5)
    np.testing.assert_allclose(table.column("text_vector")[0].as_py(), model.encode_text("a red circle"), atol=1e-5)


def test_a_broken_picture_is_named_and_left_out(
    cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path: Path
) -> None:
    lines = shapes.read_text().splitlines()[:25]
    for line in lines[1:]:
        name = line.split(",")[0]
        (tmp_path / name).write_bytes(shapes.with_name(name).read_bytes())
    (tmp_path / lines[1].split(",")[0]).write_bytes(b"no picture at all")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    answer = cli("encode", tmp_path / "pairs.csv", "--out", tmp_path / "out.parquet", "--model", tiny_run)
    assert answer.code == 0, answer.err
    assert "skipped pairs.csv:2: " in answer.err
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 23


def test_pictures_without_captions(cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("red-circle-0.png", "blue-square-1.png"):
        (folder / name).write_bytes(shapes.with_name(name).read_bytes())
    answer = cli("encode", folder, "--out", tmp_path / "out.parquet", "--model", tiny_run)
    assert answer.code == 0, answer.err
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["key", "image_vector"]
    assert table.column("key").to_pylist() == ["blue-square-1.png", "red-circle-0.png"]
    picture = amodal.load(tiny_run).encode_image(folder / "blue-square-1.png")
    np.testing.assert_allclose(table.column("image_vector")[0].as_py(), picture, atol=1e-5)


def test_a_broken_picture_counts_once_among_all(
    cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path: Path
) -> None:
    whole = shapes.with_name("red-circle-0.png").read_bytes()
    (tmp_path / "whole.png").write_bytes(whole)
    (tmp_path / "broken.png").write_bytes(whole[:90])
    answer = cli("encode", tmp_path, "--out", tmp_path / "out.parquet", "--model", tiny_run)
    assert answer.code == 1
    assert "1 of 2 rows cannot be used (50.0%" in answer.err


def test_the_file_is_whole_or_absent(
    cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(table: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", half)
    answer = cli("encode", shapes, "--out", tmp_path / "out.parquet", "--model", tiny_run)
    assert answer.code == 1
    assert f"{tmp_path}/out.parquet: No space left on device" in answer.err
    assert not list(tmp_path.iterdir())
