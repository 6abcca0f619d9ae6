"""amodal encode: the columns of its Parquet, unit vectors, and that the file is whole or absent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import amodal
from amodal.core.errors import DataError
from amodal.core.files import sha256_of
from amodal.inference import table as parts
from amodal.search import read_stamp, read_vectors


@pytest.fixture(scope="module")
def encoded(cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("encoded") / "vectors.parquet"
    answer = cli("encode", shapes, "--out", out, "--model", tiny_run)
    assert answer.code == 0, answer.err
    assert "48 rows in" in answer.err
    assert not answer.out
    return out


def test_columns(encoded: Path, tiny_run: Path, shapes: Path) -> None:
    table = pq.read_table(encoded)
    assert table.column_names == ["key", "captions", "content", "image_vector", "text_vector"]
    assert table.num_rows == 48
    assert table.column("captions")[0].as_py() == ["a red circle"]
    assert table.column("key")[0].as_py() == "pairs.csv:2"
    stamp = read_stamp(encoded)
    assert (stamp.model, stamp.type) == (str(tiny_run), "float32")
    assert stamp.fingerprint == amodal.load(tiny_run).fingerprint
    assert table.column("content")[0].as_py() == sha256_of(shapes.with_name("red-circle-0.png"))


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
    assert table.column_names == ["key", "content", "image_vector"]
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
    answer = cli("encode", tmp_path, "--out", tmp_path / "out.parquet", "--model", tiny_run, "--max-skipped", 1)
    assert answer.code == 0, answer.err
    assert "skipped broken.png" in answer.err


def test_the_file_is_whole_or_absent(
    cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(table: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", half)
    answer = cli("encode", shapes, "--out", tmp_path / "out.parquet", "--model", tiny_run)
    assert answer.code == 1
    assert f"{tmp_path}/out.parquet.parts/000000.parquet: No space left on device" in answer.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "apart", "share"), [("float16", 5e-4, 0.6), ("int8", 5e-3, 0.35)])
def test_smaller_types_are_near_and_small(
    cli: Callable[..., Any],
    tiny_run: Path,
    shapes: Path,
    encoded: Path,
    tmp_path: Path,
    kind: str,
    apart: float,
    share: float,
) -> None:
    out = tmp_path / "out.parquet"
    assert cli("encode", shapes, "--out", out, "--model", tiny_run, "--type", kind).code == 0
    fingerprint = amodal.load(tiny_run).fingerprint
    plain, small = read_vectors(encoded, fingerprint), read_vectors(out, fingerprint)
    assert small["key"] == plain["key"]
    for name in ("image_vector", "text_vector"):
        assert small[name].dtype == np.float32
        np.testing.assert_allclose(small[name], plain[name], atol=apart)
        np.testing.assert_allclose(np.linalg.norm(small[name], axis=1), 1, atol=1e-5)
        sizes = [pq.read_table(path, columns=[name]).nbytes for path in (out, encoded)]
        assert sizes[0] < share * sizes[1]


def test_an_unknown_type_is_refused(cli: Callable[..., Any], tiny_run: Path, shapes: Path, tmp_path: Path) -> None:
    answer = cli("encode", shapes, "--out", tmp_path / "out.parquet", "--model", tiny_run, "--type", "int4")
    assert answer.code == 2
    assert "'int4'; choose float32, float16, int8" in answer.err


def test_a_stopped_run_goes_on_with_the_next_part(
    tiny_run: Path, shapes: Path, encoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROWS_A_PART", 10)
    from amodal.data.sources import open_pictures

    model, out, asked = amodal.load(tiny_run), tmp_path / "out.parquet", []
    images = type(model.encoder).images

    def counted(self: Any, rows: Any, skipped: Any) -> Any:
        asked.append(len(rows))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return images(self, rows, skipped)

    monkeypatch.setattr(type(model.encoder), "images", counted)
    with pytest.raises(KeyboardInterrupt):
        parts.encode_table(model, open_pictures(shapes), out)
    assert not out.exists()
    assert parts.encode_table(model, open_pictures(shapes), out) == 48
    assert asked == [10, 10, 10, 10, 10, 8]
    whole, pieced = (read_vectors(path, model.fingerprint) for path in (encoded, out))
    assert pieced["key"] == whole["key"]
    for name in ("image_vector", "text_vector"):  # batches of other sizes round otherwise
        np.testing.assert_allclose(pieced[name], whole[name], atol=1e-5)
    assert list(tmp_path.iterdir()) == [out]


def test_parts_of_other_vectors_are_not_used(
    tiny_run: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROWS_A_PART", 40)
    from amodal.data.sources import open_pictures

    model, out = amodal.load(tiny_run), tmp_path / "out.parquet"
    monkeypatch.setattr(parts.VectorParts, "join", lambda self, count: None)
    parts.encode_table(model, open_pictures(shapes), out)
    monkeypatch.undo()
    assert parts.encode_table(model, open_pictures(shapes), out, kind="float16") == 48
    assert read_stamp(out).type == "float16"


def test_vectors_of_another_model_are_refused(encoded: Path, shapes: Path) -> None:
    with pytest.raises(DataError, match=r"holds vectors of another model \(.*this one is abc"):
        read_vectors(encoded, "abc")
    with pytest.raises(DataError, match="cannot be read"):
        read_vectors(shapes, "abc")
    pq.write_table(pq.read_table(encoded).replace_schema_metadata({}), shapes.with_name("bare.parquet"))
    with pytest.raises(DataError, match="does not say which model"):
        read_vectors(shapes.with_name("bare.parquet"), "abc")
