"""Published sets in the layout they are published in: CIFAR-10 and -100, ImageNet, COCO captions, Flickr8k and 30k.

Nothing is fetched; a person points at the folder that was unpacked. Python's CIFAR pickles are read by an unpickler
that can build arrays and plain values and nothing else.
"""

import csv
import io
import json
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from amodal.core.errors import DataError
from amodal.data.folders import SPLIT_FOLDERS, read_class_folders, subfolders
from amodal.data.pictures import BytesRef, PictureRef, PixelRef
from amodal.data.rows import MAX_SKIPPED, Row, SkipLog, Table, finished_table
from amodal.data.tables import Record, find_picture, gather, read_text

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_SYNSET = re.compile(r"n\d{8}")
_COCO = re.compile(r"captions_((?:train|val|test)\d*)\.json")
_PICKLE_ERRORS = (pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError, MemoryError)


def published_reader(folder: Path) -> Callable[..., Table] | None:
    """The reader of the published set that lies in `folder`, or None."""
    if _cifar_layout(folder) is not None:
        return read_cifar
    if any(_COCO.fullmatch(path.name) for path in (folder / "annotations").glob("*.json")):
        return read_coco
    if _flickr_table(folder) is not None:
        return read_flickr
    if any(_SYNSET.fullmatch(path.name) for root in (folder, *_splits(folder)) for path in subfolders(root)):
        return read_imagenet
    return None


class _Cifar(NamedTuple):
    """One of the four layouts. names: file and pickle key of the class names; labels: bytes before the pixels."""

    names: tuple[str, str]
    parts: Mapping[str, str]
    labels: int
    pickled_labels: str


_TEN = {f"data_batch_{number}": "train" for number in range(1, 6)} | {"test_batch": "test"}
_CIFARS = (
    _Cifar(("batches.meta.txt", ""), {f"{name}.bin": split for name, split in _TEN.items()}, 1, ""),
    _Cifar(("fine_label_names.txt", ""), {"train.bin": "train", "test.bin": "test"}, 2, ""),
    _Cifar(("batches.meta", "label_names"), _TEN, 0, "labels"),
    _Cifar(("meta", "fine_label_names"), {"train": "train", "test": "test"}, 0, "fine_labels"),
)


def read_cifar(folder: Path, *, max_skipped: float = MAX_SKIPPED) -> Table:
    """CIFAR-10 or CIFAR-100 (fine labels), binary or Python version (Krizhevsky, 2009). Raises DataError."""
    layout = _cifar_layout(folder)
    if layout is None:
        raise DataError(f"{folder} has no class names such as batches.meta.txt with batches; unpack the archive again")
    classes = _cifar_classes(folder / layout.names[0], layout.names[1])
    skipped = SkipLog(max_skipped)
    rows: list[Row] = []
    total = 0
    for name, split in layout.parts.items():
        path = folder / name
        if not path.is_file():
            skipped.add(name, "missing file: unpack the archive again")
            total += 1
            continue
        read = _pickled_part(path, layout.pickled_labels) if layout.names[1] else _binary_part(path, layout, skipped)
        for number, (label, picture) in enumerate(read, start=1):
            total += 1
            key = f"{name}:{number}"
            if not 0 <= label < len(classes):
                skipped.add(key, f"unknown label: {label} of {len(classes)} classes")
                continue
            word = classes[label]
            attributes = {"label": word, "split": split}
            rows.append(Row(key=key, picture=picture, captions=(word,), pair=word, attributes=attributes))
    return finished_table(str(folder), rows, skipped, total, classes)


def _cifar_layout(folder: Path) -> _Cifar | None:
    def lies_here(layout: _Cifar) -> bool:
        return (folder / layout.names[0]).is_file() and any((folder / name).is_file() for name in layout.parts)

    return next((layout for layout in _CIFARS if lies_here(layout)), None)


def _cifar_classes(path: Path, pickled: str) -> list[str]:
    if pickled:
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in _field(path, pickled)]
    else:
        names = read_text(path).split()
    return [name.replace("_", " ") for name in names]


def _binary_part(path: Path, layout: _Cifar, skipped: SkipLog) -> Iterator[tuple[int, PictureRef]]:
    """(label, picture) of each record; the last label byte is the fine one."""
    content = path.read_bytes()
    record = layout.labels + _PIXELS
    if len(content) % record:
        skipped.add(path.name, f"truncated file: {len(content)} bytes is no multiple of {record}")
    for start in range(0, len(content) - record + 1, record):
        pixels = start + layout.labels
        yield content[pixels - 1], PixelRef(path, pixels, _SIDE, _SIDE)


def _pickled_part(path: Path, labels_name: str) -> Iterator[tuple[int, PictureRef]]:
    """(label, picture) of each row of `data` (N, 3072). The array's bytes stand in the pickle as they are."""
    values = np.asarray(_field(path, "data"))
    labels = [int(label) for label in _field(path, labels_name)]
    if values.dtype != np.uint8 or values.shape != (len(labels), _PIXELS):
        raise DataError(f"{path}: data is {values.dtype} {values.shape} for {len(labels)} labels; unpack CIFAR again")
    start = path.read_bytes().find(values.tobytes())
    for index, label in enumerate(labels):
        if start >= 0:
            yield label, PixelRef(path, start + index * _PIXELS, _SIDE, _SIDE)
        else:  # a pickle written by Python 3 escapes the bytes
            pixels = values[index].reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
            yield label, BytesRef(b"P6 %d %d 255\n" % (_SIDE, _SIDE) + pixels.tobytes())


class _PlainUnpickler(pickle.Unpickler):
    """Builds numpy arrays and plain values; any other name in the pickle is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding}, which is not allowed")
    return text.encode("latin1")


def _field(path: Path, name: str) -> Any:
    """The entry `name` of a pickled dictionary. Raises DataError for anything else or anything more."""
    try:
        values = _PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        return values[name.encode()] if name.encode() in values else values[name]
    except (OSError, *_PICKLE_ERRORS) as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} is no CIFAR pickle with {name!r}: {reason}; unpack the archive again") from error


def read_imagenet(folder: Path, *, max_skipped: float = MAX_SKIPPED) -> Table:
    """Folders named by WordNet synset (n01440764), alone or under train and val (Russakovsky et al., 2015).

    Class names are the first lemma in LOC_synset_mapping.txt, where it lies in the folder or one above, else in
    timm's list; classes with the same first lemma are told apart by their other lemmas, or else by the synset.
    """
    found = {path.name for root in (folder, *_splits(folder)) for path in subfolders(root)}
    lemmas = _lemmas(folder, {name for name in found if _SYNSET.fullmatch(name)})
    return read_class_folders(folder, max_skipped=max_skipped, names=_class_names(lemmas))


def _splits(folder: Path) -> list[Path]:
    return [path for path in subfolders(folder) if path.name.lower() in SPLIT_FOLDERS]


def _lemmas(folder: Path, synsets: set[str]) -> dict[str, str]:
    """synset -> "tench, Tinca tinca"."""
    for path in (folder / "LOC_synset_mapping.txt", folder.parent / "LOC_synset_mapping.txt"):
        if path.is_file():
            lines = (line.split(maxsplit=1) for line in read_text(path).splitlines())
            known = {words[0]: words[1].strip() for words in lines if len(words) == 2}
            break
    else:
        from timm.data.imagenet_info import ImageNetInfo

        known: dict[str, str] = {}
        for subset in ("imagenet-1k", "imagenet-22k"):
            info = ImageNetInfo(subset)
            known |= {name: info.label_name_to_description(name) for name in synsets & set(info.label_names())}
    unknown = sorted(synsets - known.keys())
    if unknown:
        raise DataError(f"{folder}: no class name is known for {unknown[0]}; put LOC_synset_mapping.txt beside it")
    return {name: known[name] for name in synsets}


def _class_names(lemmas: Mapping[str, str]) -> dict[str, str]:
    """synset -> a name that no other of these classes has."""
    first = {synset: words.split(",")[0].strip() for synset, words in lemmas.items()}
    count, whole = Counter(first.values()), Counter(lemmas.values())
    names: dict[str, str] = {}
    for synset, name in first.items():
        if count[name] > 1:
            name = lemmas[synset] if whole[lemmas[synset]] == 1 else f"{name} ({synset})"
        names[synset] = name
    return names


def read_coco(folder: Path, *, max_skipped: float = MAX_SKIPPED) -> Table:
    """COCO captions (Chen et al., 2015): annotations/captions_*.json and the picture folders they name beside."""
    skipped = SkipLog(max_skipped)
    rows: list[Row] = []
    total = 0
    for path in sorted((folder / "annotations").glob("captions_*.json")):
        named = _COCO.fullmatch(path.name)
        pictures = None if named is None else _first_folder(folder / named[1], folder / "images" / named[1])
        if named is None or pictures is None:
            skipped.add(path.name, f"no pictures: {path.stem.removeprefix('captions_')} is not beside annotations")
            total += 1
            continue
        records = _coco_records(path, named[1].rstrip("0123456789"))
        made, read = gather(records, lambda name, root=pictures: find_picture(root, name), skipped)
        rows += made
        total += read
    return finished_table(str(folder), rows, skipped, total)


def _first_folder(*folders: Path) -> Path | None:
    return next((folder for folder in folders if folder.is_dir()), None)


def _coco_records(path: Path, split: str) -> Iterator[Record]:
    try:
        values = json.loads(read_text(path))
        files = {image["id"]: image["file_name"] for image in values["images"]}
        for said in values["annotations"]:
            key = f"{path.name}:annotation {said['id']}"
            attributes = {"split": split, "image_id": str(said["image_id"])}
            yield Record(key, files[said["image_id"]], [said["caption"]], attributes)
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} is not in COCO's caption format ({error!r}); unpack the archive again") from error


def _flickr_table(folder: Path) -> Path | None:
    names = ("results.csv", "results_20130124.token", "Flickr8k.token.txt", "captions.txt")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_flickr(folder: Path, *, max_skipped: float = MAX_SKIPPED) -> Table:
    """Flickr8k and Flickr30k (Hodosh et al., 2013; Young et al., 2014), as first published or as CSV.

    Reads Flickr8k.token.txt (splits from Flickr_8k.*Images.txt), results_20130124.token, results.csv with pipes,
    or captions.txt; the pictures lie in the one subfolder whose name is theirs, or beside the table.
    """
    table = _flickr_table(folder)
    if table is None:
        raise DataError(f"{folder} has no results.csv, Flickr8k.token.txt or captions.txt; unpack the archive again")
    names = ("Images", "Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images", "flickr30k-images")
    pictures = _first_folder(*(folder / name for name in names)) or folder
    inner = pictures / pictures.name
    skipped = SkipLog(max_skipped)
    records = _flickr_records(table, _flickr_splits(folder), skipped)
    root = inner if inner.is_dir() else pictures
    rows, total = gather(records, lambda name: find_picture(root, name), skipped)
    return finished_table(str(folder), rows, skipped, total)


def _flickr_splits(folder: Path) -> dict[str, str]:
    splits: dict[str, str] = {}
    for split, name in {"train": "train", "val": "dev", "test": "test"}.items():
        path = folder / f"Flickr_8k.{name}Images.txt"
        if path.is_file():
            splits.update(dict.fromkeys(read_text(path).split(), split))
    return splits


def _flickr_records(path: Path, splits: Mapping[str, str], skipped: SkipLog) -> Iterator[Record | None]:
    separator = {".csv": "|", ".token": "\t"}.get(path.suffix, "\t" if "token" in path.name else ",")
    has_header = separator != "\t"
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip() or (has_header and number == 1):
            continue
        key = f"{path.name}:{number}"
        fields = [field.strip() for field in line.split(separator, 2 if separator == "|" else 1)]
        if len(fields) < (3 if separator == "|" else 2):
            skipped.add(key, f"ragged row: {len(fields)} fields between {separator!r}")
            yield None
            continue
        name = fields[0].split("#")[0]
        caption = next(csv.reader([fields[-1]]))[0] if fields[-1].startswith('"') else fields[-1]
        yield Record(key, name, [caption], {"split": splits[name]} if name in splits else {})
