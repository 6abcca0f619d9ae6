"""Vectors in Parquet: written part by part so that a killed run goes on, stamped with their model, read back checked.

N rows · D width of the joint space
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from amodal.core.errors import DataError, UsageError
from amodal.core.files import atomic_path

if TYPE_CHECKING:
    import pyarrow as pa

STAMP = b"amodal.vectors"
_VECTORS = ("image_vector", "text_vector")
_SCALE = "_scale"


VectorType = Literal["float32", "float16", "int8"]
"""How numbers of a vector are kept. int8: as multiples of the vector's own scale, its greatest number / 127."""


@dataclass(frozen=True, kw_only=True)
class VectorStamp:
    """What a file of vectors is of. model: its name; fingerprint: its weights; data: the fingerprint of the table.

    Raises UsageError for a type that is none.
    """

    model: str
    fingerprint: str
    data: str
    type: VectorType

    def __post_init__(self) -> None:
        if self.type not in get_args(VectorType):
            raise UsageError(f"vectors cannot be kept as {self.type!r}; choose {', '.join(get_args(VectorType))}")


class VectorParts:
    """Parts of a file of vectors beside it, in `FILE.parts`: each whole or absent, all of one stamp.

    Parts of another stamp are removed when the first is asked for: another model, other data or another type.
    """

    def __init__(self, target: Path, stamp: VectorStamp) -> None:
        self.target, self.stamp = target, stamp
        self.folder = target.with_name(f"{target.name}.parts")

    def done(self) -> list[Mapping[str, Any]]:
        """The notes of the parts that are there, in order and without a gap."""
        import pyarrow.parquet as pq

        notes: list[Mapping[str, Any]] = []
        while self._part(len(notes)).exists():
            said = json.loads(pq.read_schema(self._part(len(notes))).metadata[STAMP])
            if said.pop("stamp") != asdict(self.stamp):
                shutil.rmtree(self.folder)
                return []
            notes.append(said)
        return notes

    def add(self, number: int, columns: Mapping[str, Any], note: Mapping[str, Any]) -> None:
        """Writes a part. columns: vectors as float32 (N, D), anything else as lists; note: what `done` gives back."""
        import pyarrow.parquet as pq

        with atomic_path(self._part(number)) as temporary:
            pq.write_table(_arrow(columns, self.stamp, {**note, "stamp": asdict(self.stamp)}), temporary)

    def join(self, count: int) -> None:
        """Puts the first `count` parts together into the file, and removes them."""
        import pyarrow.parquet as pq

        parts = [self._part(number) for number in range(count)]
        schema = pq.read_schema(parts[0]).with_metadata({STAMP: json.dumps(asdict(self.stamp))})
        with atomic_path(self.target) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            for part in parts:
                writer.write_table(pq.read_table(part).replace_schema_metadata(schema.metadata))
        shutil.rmtree(self.folder)

    def leave(self) -> None:
        """Removes the folder where no part is in it."""
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:06}.parquet"


def read_stamp(path: Path) -> VectorStamp:
    """Of which model and data a file is. Raises DataError for any other file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({error}); write it with: amodal encode DATA --out {path}") from error
    if STAMP not in metadata:
        raise DataError(f"{path} does not say which model made it; write it with: amodal encode DATA --out {path}")
    return VectorStamp(**json.loads(metadata[STAMP]))


def read_vectors(path: Path, fingerprint: str, columns: Sequence[str] = _VECTORS) -> dict[str, Any]:
    """The file's keys, contents and unit vectors. -> "key", "content": lists; the wanted vectors that it has: (N, D)

    fingerprint: of the model that they will be used with. Raises DataError when another model made them.
    """
    import pyarrow.parquet as pq

    _check(path, fingerprint)
    table = pq.read_table(path)
    found: dict[str, Any] = {name: table[name].to_pylist() for name in ("key", "content")}
    for name in columns:
        if name in table.column_names:
            scale = table[name + _SCALE] if name + _SCALE in table.column_names else None
            found[name] = _floats(table[name], scale)
    return found


def pictures_by_content(path: Path, fingerprint: str) -> Iterator[tuple[str, np.ndarray]]:
    """(content, picture's vector) of every row; see `read_vectors`."""
    found = read_vectors(path, fingerprint, ("image_vector",))
    return zip(found["content"], found["image_vector"], strict=True)


def _check(path: Path, fingerprint: str) -> None:
    stamp = read_stamp(path)
    if stamp.fingerprint != fingerprint:
        raise DataError(
            f"{path} holds vectors of another model ({stamp.model}, {stamp.fingerprint[:12]}; this one is "
            f"{fingerprint[:12]}); load that model, or write them again with: amodal encode DATA --out {path}"
        )


def _arrow(columns: Mapping[str, Any], stamp: VectorStamp, said: Mapping[str, Any]) -> "pa.Table":
    import pyarrow as pa

    arrays: dict[str, Any] = {}
    for name, values in columns.items():
        if name not in _VECTORS:
            arrays[name] = pa.array(values, pa.list_(pa.string()) if name == "captions" else pa.string())
        elif stamp.type == "int8":
            scale_N = np.abs(values).max(axis=1, initial=1e-12) / 127
            arrays[name] = _fixed(np.rint(values / scale_N[:, None]).astype(np.int8))
            arrays[name + _SCALE] = pa.array(scale_N.astype(np.float32))
        else:
            arrays[name] = _fixed(values.astype(stamp.type))
    return pa.table(arrays).replace_schema_metadata({STAMP: json.dumps(said)})


def _fixed(vector_ND: np.ndarray) -> "pa.FixedSizeListArray":
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vector_ND).ravel()), vector_ND.shape[1])


def _floats(column: "pa.ChunkedArray", scale: "pa.ChunkedArray | None") -> np.ndarray:
    width = column.type.list_size
    flat = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks])
    vector_ND = flat.reshape(-1, width).astype(np.float32)
    if scale is not None:
        vector_ND *= scale.to_numpy()[:, None]
    return vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True).clip(1e-12)
