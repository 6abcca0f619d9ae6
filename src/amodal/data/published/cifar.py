"""CIFAR-10 and -100, binary and Python versions."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from amodal.core.errors import DataError
from amodal.data.pictures import BytesRef, PictureRef, PixelRef
from amodal.data.published.pickles import PICKLE_ERRORS, not_a_pickle, plain_pickle
from amodal.data.rows import MAX_SKIPPED, Row, SkipLog, Table, finished_table
from amodal.data.tables import read_text

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE


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
    layout = cifar_layout(folder)
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


def cifar_layout(folder: Path) -> _Cifar | None:
    """Which of the four layouts lies in `folder`, if any does."""

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


def _field(path: Path, name: str) -> Any:
    """The entry `name` of a pickled dictionary. Raises DataError for anything else or anything more."""
    try:
        values = plain_pickle(path.read_bytes(), "bytes")
        return values[name.encode()] if name.encode() in values else values[name]
    except (OSError, *PICKLE_ERRORS) as error:
        raise not_a_pickle(path, f"CIFAR pickle with {name!r}", error) from error
