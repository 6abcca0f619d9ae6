"""CIFAR, from small copies in its exact layout."""

import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from amodal.core.errors import DataError
from amodal.data.pictures import BytesRef, PixelRef
from amodal.data.published import published_reader, read_cifar
from amodal.data.rows import Table

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
Pickler = Callable[[np.ndarray, dict[str, list[int]]], bytes]


def pixels(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, 3072), dtype=np.uint8)


def seen(table: Table, number: int) -> np.ndarray:
    return np.asarray(table.rows[number].picture.image())


def as_picture(row: np.ndarray) -> np.ndarray:
    return row.reshape(3, 32, 32).transpose(1, 2, 0)


def python2_pickle(data: np.ndarray, labels: dict[str, list[int]]) -> bytes:
    """A batch with the very opcodes of Python 2's pickle, protocol 2, in which the archives are written."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    raw = data.tobytes()
    shape = b"".join(b"J" + struct.pack("<i", length) for length in data.shape) + b"\x86"
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN"
    dtype += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    array += b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    content = b"\x80\x02}(" + text(b"data") + array
    for name, values in labels.items():
        content += text(name.encode()) + b"](" + b"".join(b"K" + bytes([value]) for value in values) + b"e"
    return content + b"u."


def python3_pickle(data: np.ndarray, labels: dict[str, list[int]]) -> bytes:
    values = {name.encode(): numbers for name, numbers in labels.items()}
    return pickle.dumps({b"data": data, **values}, protocol=2)


def test_cifar_10_binary(tmp_path: Path) -> None:
    (tmp_path / "batches.meta.txt").write_text("\n".join(CIFAR10) + "\n\n")
    batches = {f"data_batch_{n}": pixels(2, n) for n in range(1, 6)} | {"test_batch": pixels(2, 9)}
    for name, data in batches.items():
        (tmp_path / f"{name}.bin").write_bytes(b"".join(bytes([3 + i]) + row.tobytes() for i, row in enumerate(data)))
    assert published_reader(tmp_path) is read_cifar
    table = read_cifar(tmp_path)
    assert len(table) == 12
    assert table.classes == tuple(CIFAR10)
    assert [row.key for row in table.split("test").rows] == ["test_batch.bin:1", "test_batch.bin:2"]
    assert table.rows[1].captions == ("deer",)
    assert table.rows[1].attributes == {"label": "deer", "split": "train"}
    assert np.array_equal(seen(table, 1), as_picture(batches["data_batch_1"][1]))


def test_cifar_100_binary_uses_fine_labels(tmp_path: Path) -> None:
    (tmp_path / "coarse_label_names.txt").write_text("aquatic_mammals\nfish\n")
    (tmp_path / "fine_label_names.txt").write_text("apple\naquarium_fish\nbaby\n")
    for name in ("train", "test"):
        (tmp_path / f"{name}.bin").write_bytes(bytes([0, 1]) + pixels(1, 1).tobytes() + bytes([1, 2]) + bytes(3072))
    table = read_cifar(tmp_path)
    assert table.classes == ("apple", "aquarium fish", "baby")
    assert [row.attributes["label"] for row in table.split("train").rows] == ["aquarium fish", "baby"]
    assert np.array_equal(seen(table, 0), as_picture(pixels(1, 1)[0]))


def test_cifar_binary_cut_short_or_mislabelled(tmp_path: Path) -> None:
    (tmp_path / "fine_label_names.txt").write_text("apple\nbaby\n")
    (tmp_path / "train.bin").write_bytes(bytes([0, 1]) + bytes(3072) + bytes([0, 7]) + bytes(3072) + bytes(50))
    table = read_cifar(tmp_path, max_skipped=1)
    assert [row.key for row in table.rows] == ["train.bin:1"]
    assert [entry.key for entry in table.skipped.entries] == ["train.bin", "train.bin:2", "test.bin"]
    assert "no multiple of 3074" in table.skipped.entries[0].reason
    assert "unknown label: 7" in table.skipped.entries[1].reason


@pytest.mark.parametrize(("dump", "kind"), [(python2_pickle, PixelRef), (python3_pickle, BytesRef)])
def test_cifar_10_python(tmp_path: Path, dump: Pickler, kind: type) -> None:
    names = {b"label_names": [name.encode() for name in CIFAR10], b"num_vis": 3072}
    (tmp_path / "batches.meta").write_bytes(pickle.dumps(names, protocol=2))
    for name in [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]:
        (tmp_path / name).write_bytes(dump(pixels(3, len(name)), {"labels": [0, 5, 9]}))
    assert published_reader(tmp_path) is read_cifar
    table = read_cifar(tmp_path)
    assert len(table) == 18
    assert [row.captions[0] for row in table.split("test").rows] == ["airplane", "dog", "truck"]
    assert isinstance(table.rows[2].picture, kind)
    assert np.array_equal(seen(table, 17), as_picture(pixels(3, len("test_batch"))[2]))


def test_cifar_100_python(tmp_path: Path) -> None:
    names = {b"fine_label_names": [b"apple", b"aquarium_fish"], b"coarse_label_names": [b"fish"]}
    (tmp_path / "meta").write_bytes(pickle.dumps(names, protocol=2))
    for name in ("train", "test"):
        labels = {"coarse_labels": [0, 0], "fine_labels": [1, 0]}
        (tmp_path / name).write_bytes(python2_pickle(pixels(2, 3), labels))
    table = read_cifar(tmp_path)
    assert [row.key for row in table.split("train").rows] == ["train:1", "train:2"]
    assert [row.attributes["label"] for row in table.split("train").rows] == ["aquarium fish", "apple"]
    assert np.array_equal(seen(table, 1), as_picture(pixels(2, 3)[1]))


class _Command:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("echo this must never run > /dev/null",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps({b"label_names": _Command()}), "asks for posix.system, which is not allowed"),
        (pickle.dumps({b"label_names": Path("x")}), "not allowed"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "asks for builtins.eval"),
        (b"cnumpy\nload\n.", "asks for numpy.load"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.", "asks for the encoding rot13"),
        (pickle.dumps({b"other": 1}), "label_names"),
        (b"", "Ran out of input"),
        (b"\x80\x02}(", "no CIFAR pickle"),
        (b"not a pickle", "no CIFAR pickle"),
    ],
)
def test_pickles_that_ask_for_more_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "batches.meta").write_bytes(content)
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_cifar(tmp_path)


def test_cifar_python_of_the_wrong_shape(tmp_path: Path) -> None:
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"a"]}, protocol=2))
    (tmp_path / "test_batch").write_bytes(python2_pickle(pixels(2, 1), {"labels": [0]}))
    with pytest.raises(DataError, match=r"test_batch: data is uint8 \(2, 3072\) for 1 labels"):
        read_cifar(tmp_path, max_skipped=1)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unpack the archive again"):
        read_cifar(tmp_path)
