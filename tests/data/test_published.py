"""Published sets, each from a small copy in its exact layout."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from amodal.core.errors import DataError
from amodal.data.pictures import BytesRef, PixelRef
from amodal.data.published import published_reader, read_cifar, read_coco, read_flickr, read_imagenet
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


def put(path: Path, colour: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (colour, 0, 0)).save(path, "JPEG")


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


def test_imagenet_with_its_mapping(tmp_path: Path) -> None:
    put(tmp_path / "val" / "n01440764" / "ILSVRC2012_val_00000293.JPEG")
    put(tmp_path / "val" / "n02012849" / "ILSVRC2012_val_00000001.JPEG")
    put(tmp_path / "train" / "n03126707" / "n03126707_1.JPEG")
    lines = ["n01440764 tench, Tinca tinca", "n02012849 crane", "n03126707 crane", "n01443537 goldfish"]
    (tmp_path / "LOC_synset_mapping.txt").write_text("\n".join(lines))
    assert published_reader(tmp_path) is read_imagenet
    table = read_imagenet(tmp_path)
    assert table.classes == ("crane (n02012849)", "crane (n03126707)", "tench")
    assert {row.attributes["folder"]: row.captions[0] for row in table.split("val").rows} == {
        "n01440764": "tench",
        "n02012849": "crane (n02012849)",
    }
    assert len(table.split("train")) == 1
    assert read_imagenet(tmp_path / "val").rows[0].captions == ("tench",)


def test_imagenet_without_mapping_asks_timm(tmp_path: Path) -> None:
    put(tmp_path / "n01440764" / "a.JPEG")
    put(tmp_path / "n02123045" / "b.JPEG")
    assert read_imagenet(tmp_path).classes == ("tabby", "tench")
    put(tmp_path / "n99999999" / "c.JPEG")
    with pytest.raises(DataError, match="no class name is known for n99999999; put LOC_synset_mapping"):
        read_imagenet(tmp_path)


def coco(root: Path, name: str, annotations: list[tuple[int, str]], files: dict[int, str]) -> None:
    values = {
        "info": {},
        "licenses": [],
        "images": [{"id": number, "file_name": file, "height": 4, "width": 4} for number, file in files.items()],
        "annotations": [{"image_id": at, "id": 100 + n, "caption": said} for n, (at, said) in enumerate(annotations)],
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / name).write_text(json.dumps(values))


def test_coco_captions(tmp_path: Path) -> None:
    put(tmp_path / "val2017" / "000000000139.jpg", 200)
    put(tmp_path / "train2017" / "000000000009.jpg")
    coco(tmp_path, "captions_val2017.json", [(139, "A room."), (139, "A den. ")], {139: "000000000139.jpg"})
    coco(tmp_path, "captions_train2017.json", [(9, "Food."), (10, "Gone.")], {9: "000000000009.jpg", 10: "gone.jpg"})
    (tmp_path / "annotations" / "instances_val2017.json").write_text("{}")
    assert published_reader(tmp_path) is read_coco
    table = read_coco(tmp_path, max_skipped=0.5)
    [room] = table.split("val").rows
    assert room.captions == ("A room.", "A den.")
    assert room.attributes == {"split": "val", "image_id": "139"}
    assert room.key == "captions_val2017.json:annotation 100"
    assert table.split("train").rows[0].captions == ("Food.",)
    assert table.skipped.entries == (("captions_train2017.json:annotation 101", "missing image file: gone.jpg"),)


def test_coco_without_one_folder_of_pictures_and_damaged(tmp_path: Path) -> None:
    put(tmp_path / "images" / "val2014" / "a.jpg")
    coco(tmp_path, "captions_val2014.json", [(1, "A room.")], {1: "a.jpg"})
    coco(tmp_path, "captions_train2014.json", [(2, "x")], {2: "b.jpg"})
    table = read_coco(tmp_path, max_skipped=0.5)
    assert len(table) == 1
    assert "train2014 is not beside annotations" in table.skipped.entries[0].reason
    for content in ('{"images": []}', "{", '{"images": [], "annotations": [{"id": 1, "image_id": 5, "caption": "x"}]}'):
        (tmp_path / "annotations" / "captions_val2014.json").write_text(content)
        with pytest.raises(DataError, match="not in COCO's caption format"):
            read_coco(tmp_path, max_skipped=1)


def test_flickr30k_results_csv(tmp_path: Path) -> None:
    put(tmp_path / "flickr30k_images" / "1000092795.jpg")
    put(tmp_path / "flickr30k_images" / "2199200615.jpg")
    lines = [
        "image_name| comment_number| comment",
        "1000092795.jpg| 0| Two young guys with shaggy hair look at their hands , outside .",
        "1000092795.jpg| 1| Two men | in green .",
        "2199200615.jpg| 4   A dog runs across the grass .",
        "2199200615.jpg| 0| A dog .",
    ]
    (tmp_path / "results.csv").write_text("\n".join(lines) + "\n")
    assert published_reader(tmp_path) is read_flickr
    table = read_flickr(tmp_path, max_skipped=0.3)
    assert table.rows[0].captions[0].startswith("Two young guys with shaggy hair look at their hands , outside")
    assert table.rows[0].captions[1] == "Two men | in green ."
    assert [entry.key for entry in table.skipped.entries] == ["results.csv:4"]


def test_flickr8k_token_file_with_splits(tmp_path: Path) -> None:
    for name in ("1_a.jpg", "2_b.jpg", "3_c.jpg"):
        put(tmp_path / "Flicker8k_Dataset" / name)
    lines = [f"{name}.jpg#{n}\tCaption {n} , of {name} ." for name in ("1_a", "2_b", "3_c") for n in range(2)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines))
    for name, picture in {"train": "1_a", "dev": "2_b", "test": "3_c"}.items():
        (tmp_path / f"Flickr_8k.{name}Images.txt").write_text(f"{picture}.jpg\n")
    table = read_flickr(tmp_path)
    assert [row.key for row in table.rows] == [f"Flickr8k.token.txt:{n}" for n in (1, 3, 5)]
    assert table.split("val").rows[0].captions == ("Caption 0 , of 2_b .", "Caption 1 , of 2_b .")


def test_flickr8k_captions_txt(tmp_path: Path) -> None:
    put(tmp_path / "Images" / "1_a.jpg")
    text = 'image,caption\n1_a.jpg,"A dog , a cat ."\n1_a.jpg,"""Hi"" , it says ."\n1_a.jpg,A dog , unquoted .\n'
    (tmp_path / "captions.txt").write_text(text)
    assert read_flickr(tmp_path).rows[0].captions == ("A dog , a cat .", '"Hi" , it says .', "A dog , unquoted .")


def test_flickr30k_token_file_and_doubled_folder(tmp_path: Path) -> None:
    put(tmp_path / "flickr30k_images" / "flickr30k_images" / "1.jpg")
    (tmp_path / "results_20130124.token").write_text("1.jpg#0\tTwo .\n")
    assert read_flickr(tmp_path).rows[0].captions == ("Two .",)


def test_readers_refuse_what_is_not_theirs(tmp_path: Path) -> None:
    assert published_reader(tmp_path) is None
    for reader in (read_cifar, read_flickr):
        with pytest.raises(DataError, match="unpack the archive again"):
            reader(tmp_path)
    with pytest.raises(DataError, match="no usable row"):
        read_coco(tmp_path)
