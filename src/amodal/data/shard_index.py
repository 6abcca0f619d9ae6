"""Shards read by number: where every sample lies is found once, from the tar headers, and kept in a file a shard.

An index is 36 bytes a sample and its name; it lies in a folder of its own, never beside the shards.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from amodal.core.errors import AmodalError, DataError
from amodal.core.files import atomic_path
from amodal.core.progress import progress
from amodal.core.ranks import ALONE, Ranks
from amodal.core.seeds import generator_for
from amodal.data.rows import Row, SkipLog, Skipped
from amodal.data.shards import PICTURES, Sample, index_shard, sample_row

Value = TypeVar("Value")
SIZES = "sizes.json"
SHARDS_DRAWN = 64
CLAIM_SECONDS = 60.0
_TEXTS = ("txt", "json")


class Recent(dict[int, Value]):
    """The values that `make` gave last, at most `limit`; other processes get it empty."""

    def __init__(self, make: Callable[[int], Value], limit: int) -> None:
        super().__init__()
        self._make, self._limit = make, limit

    def __missing__(self, key: int) -> Value:
        if len(self) >= self._limit:
            del self[next(iter(self))]
        value = self[key] = self._make(key)
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return Recent, (self._make, self._limit)


class Shards:
    """Shards whose samples are read by shard and number, in any order; memory does not grow with their size.

    counts: samples of each, as many as are read; folder: of the indexes; mixed: how many shards are read from at the
    same time, and so how many indexes stay in memory. `skipped` is the log of everything that reads them.
    """

    def __init__(
        self, paths: Sequence[Path], counts: Sequence[int], folder: Path, skipped: SkipLog, *, mixed: int = 16
    ) -> None:
        self.paths, self.counts, self.skipped, self.mixed = tuple(paths), tuple(counts), skipped, mixed
        self.name = f"{self.paths[0].parent} ({len(self.paths):,} shards)"
        self.classes = None
        self._folder = folder
        self._indexes = Recent(self._index, mixed + 2)
        self._total = sum(self.counts)

    def __len__(self) -> int:
        return self._total

    def row(self, shard: int, number: int) -> Row | Skipped:
        """One sample; or where it stands and why it is none."""
        path = self.paths[shard]
        key = f"{path.name}:#{number}"
        try:
            index = self._indexes[shard]
            if number >= len(index):
                return Skipped(key, f"missing sample: {SIZES} says {self.counts[shard]}, the shard has {len(index)}")
            key, spans = _told(index[number], path)
            with path.open("rb") as stream:
                row = sample_row(key, path, spans, stream)
        except (DataError, OSError) as error:
            return Skipped(key, f"unreadable shard: {error}")
        return row if isinstance(row, Row) else Skipped(key, row)

    def drawn(self, count: int, seed: int) -> Iterator[Row]:
        """About `count` rows, the first ones of at most 64 shards drawn at random; the same for the same seed."""
        chosen = torch.randperm(len(self.paths), generator=generator_for(seed, "captions"))[:SHARDS_DRAWN].tolist()
        for shard in chosen:
            for number in range(min(self.counts[shard], math.ceil(count / len(chosen)))):
                row = self.row(shard, number)
                if isinstance(row, Row):
                    yield row
                else:
                    self.skipped.add(*row)

    def share_skipped(self, ranks: Ranks) -> None:
        """Brings together what each rank skipped. All ranks call. Raises DataError when it is more than allowed."""
        for entries in ranks.everyones(self.skipped.entries):
            for entry in entries:
                self.skipped.add(*entry)
        self.skipped.check()

    def fingerprint(self) -> str:
        """SHA-256 over name, number of samples and size in bytes of each shard; contents are not read."""
        sizes = (path.stat().st_size for path in self.paths)
        said = [(path.name, count, size) for path, count, size in zip(self.paths, self.counts, sizes, strict=True)]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    def _index(self, shard: int) -> np.ndarray:
        return read_index(self.paths[shard], self._folder)[0]


def open_shards(
    paths: Sequence[Path],
    *,
    folder: Path,
    skipped: SkipLog,
    mixed: int = 16,
    workers: int = 0,
    ranks: Ranks = ALONE,
) -> Shards:
    """The shards, counted: by a sizes.json beside them (name -> samples), else by an index of each in `folder`.

    Each rank indexes its share of what has no index yet, with `workers` processes, then looks at all of them: where the
    folder is not shared between machines, the ranks of each share out the rest. Raises DataError for what is no tar,
    for shards without samples, and when more is damaged than `skipped` allows.
    """
    sizes = _sizes_beside(paths)
    without = [path for path in paths if path not in sizes]
    start = len(without) * ranks.rank // ranks.count
    with _mapped(workers) as mapped:
        for part in (without[ranks.rank :: ranks.count], without[start:] + without[:start]):
            with progress("Indexing", len(part), "shards") as bar:
                for path, (count, notes) in zip(part, mapped(partial(_count, folder=folder), part), strict=True):
                    sizes[path] = count
                    for note in notes:
                        skipped.add(*note)
                    bar.update()
            ranks.wait()
    shards = Shards(paths, [sizes[path] for path in paths], folder, skipped, mixed=mixed)
    if len(shards) == 0:
        raise DataError(f"{shards.name} holds no sample; a sample is a picture and a .txt or .json of the same name")
    skipped.total = len(shards)
    skipped.check()
    return shards


def read_index(shard: Path, folder: Path) -> tuple[np.ndarray, list[Skipped]]:
    """Name, picture, txt and json (offset and length in bytes; offset 0: none) of each sample, and what was refused.

    From the file in `folder`, or from the headers and then kept there; that of a damaged shard is not kept, so that
    its damage is told each time. Raises DataError for what is no tar, AmodalError when nothing can be kept.
    """
    found = shard.stat()
    said = f"{shard.absolute()}\x1f{found.st_size}\x1f{found.st_mtime_ns}"
    file = folder / f"{hashlib.sha256(said.encode()).hexdigest()[:32]}.npy"
    kept = _kept(file)
    if kept is not None:
        return kept, []
    with _claimed(file, shard) as waited:
        kept = _kept(file) if waited else None
        if kept is not None:
            return kept, []
        log = SkipLog()
        index = _packed(index_shard(shard, log)[0])
        if not log.entries:
            with _told_of_disk(shard), atomic_path(file) as temporary, temporary.open("wb") as stream:
                np.save(stream, index)
    return index, list(log.entries)


def _kept(file: Path) -> np.ndarray | None:
    try:
        return np.load(file)
    except (OSError, ValueError, EOFError):  # not yet there, or damaged
        return None


@contextmanager
def _claimed(file: Path, shard: Path) -> Iterator[bool]:
    """Inside, no other process reads the headers of the same shard. -> whether another was waited for

    A claim that a killed process left behind is overtaken once it is old.
    """
    claim, waited = file.with_suffix(".claim"), False
    with _told_of_disk(shard):
        claim.parent.mkdir(parents=True, exist_ok=True)
        while not _made(claim):
            waited = True
            with suppress(FileNotFoundError):
                if time.time() - claim.stat().st_mtime > CLAIM_SECONDS:
                    claim.unlink()
            time.sleep(0.02)
    try:
        yield waited
    finally:
        claim.unlink(missing_ok=True)


def _made(claim: Path) -> bool:
    """Whether the file was not there and is now."""
    try:
        claim.open("x").close()
    except FileExistsError:
        return False
    return True


@contextmanager
def _told_of_disk(shard: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AmodalError(f"cannot keep an index of {shard}: {error}; free some disk or set AMODAL_CACHE") from error


def _packed(samples: Mapping[str, Sample]) -> np.ndarray:
    """The index of these samples."""
    width = max((len(name.encode()) for name in samples), default=1)
    spans = [(part, np.dtype([("at", "<u8"), ("length", "<u4")])) for part in ("picture", *_TEXTS)]
    index = np.zeros(len(samples), np.dtype([("name", f"S{width}"), *spans]))
    for number, (name, sample) in enumerate(samples.items()):
        picture = next((sample[kind] for kind in PICTURES if kind in sample), (0, 0))
        index[number] = (name.encode(), picture, *(sample.get(kind, (0, 0)) for kind in _TEXTS))
    return index


def _told(record: Any, path: Path) -> tuple[str, Sample]:
    """A sample's key and its members, from its record in the index."""
    name, picture, *texts = record.tolist()
    spans = {kind: span for kind, span in zip((PICTURES[0], *_TEXTS), (picture, *texts), strict=True) if span[0]}
    return f"{path.name}:{name.decode()}", spans


def _count(shard: Path, *, folder: Path) -> tuple[int, list[Skipped]]:
    index, notes = read_index(shard, folder)
    return len(index), notes


@contextmanager
def _mapped(workers: int) -> Iterator[Callable[..., Iterator[tuple[int, list[Skipped]]]]]:
    """`map`, over so many processes."""
    if workers == 0:
        yield map
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield pool.map


def _sizes_beside(paths: Sequence[Path]) -> dict[Path, int]:
    """What each folder's sizes.json says of its shards."""
    said: dict[Path, int] = {}
    for folder in dict.fromkeys(path.parent for path in paths):
        file = folder / SIZES
        if not file.is_file():
            continue
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
            said.update({folder / name: int(count) for name, count in values.items()})
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file} is no object of shard names and numbers of samples ({error}); mend it or remove it"
            ) from error
    return {path: said[path] for path in paths if path in said}
