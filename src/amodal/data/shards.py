"""Webdataset shards: uncompressed tars whose members of one sample share a name up to the first dot.

Only the index is read; pictures stay in the tar and are reached by their offset, in any order, without unpacking.
"""

import itertools
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from amodal.core.errors import DataError
from amodal.data.pictures import SpanRef
from amodal.data.rows import MAX_SKIPPED, Row, SkipLog, Table, caption_pair, finished_table
from amodal.data.tables import as_text

PICTURES = ("jpg", "jpeg", "png", "webp")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST_SHARDS = 100_000
_BLOCK = 512
_DAMAGE = (tarfile.TarError, OSError, ValueError, EOFError, OverflowError)
Sample = dict[str, tuple[int, int]]
"""The members of one sample: extension -> (offset, length) in the shard."""


def read_shards(source: Path | str, *, max_skipped: float = MAX_SKIPPED) -> Table:
    """The samples of a .tar, a folder of .tar files, or a pattern such as "data-{000..009}.tar".

    Captions come from the lines of .txt, or from `caption` (text or list) in .json, whose other values become
    attributes. Raises DataError for missing or compressed shards.
    """
    skipped = SkipLog(max_skipped)
    rows: list[Row] = []
    total = 0
    for shard in shard_paths(source):
        samples, refused = index_shard(shard, skipped)
        total += len(samples) + refused
        with shard.open("rb") as stream:
            for name, sample in samples.items():
                key = f"{shard.name}:{name}"
                row = sample_row(key, shard, sample, stream)
                if isinstance(row, Row):
                    rows.append(row)
                else:
                    skipped.add(key, row)
    return finished_table(str(source), rows, skipped, total)


def shard_paths(source: Path | str) -> list[Path]:
    """The shards that a path, a folder or a brace pattern names, all of them present. Raises DataError."""
    path = Path(source)
    if path.is_dir():
        paths = sorted(inside for inside in path.iterdir() if inside.suffix == ".tar")
    elif path.is_file():
        paths = [path]
    else:
        paths = [Path(name) for name in expand_braces(str(source))]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(paths)} shards are missing, the first is {missing[0]}; check {source}")
    if not paths:
        raise DataError(f"{source} names no .tar file; give a folder of shards or a pattern like data-{{000..009}}.tar")
    return paths


def expand_braces(pattern: str) -> list[str]:
    """ "a-{00..02}.tar" -> a-00.tar, a-01.tar, a-02.tar; "{a,b}" -> a, b; several braces multiply."""
    parts = _BRACES.split(pattern)
    choices = [[part] if index % 2 == 0 else _choices(part, pattern) for index, part in enumerate(parts)]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > _MOST_SHARDS:
        raise DataError(f"{pattern} names {count} shards, more than {_MOST_SHARDS}; narrow it")
    return ["".join(names) for names in itertools.product(*choices)]


def _choices(inside: str, pattern: str) -> list[str]:
    bounds = _RANGE.fullmatch(inside)
    if bounds is None:
        return inside.split(",")
    first, last = int(bounds[1]), int(bounds[2])
    if not 0 <= last - first < _MOST_SHARDS:
        raise DataError(f"{pattern}: {{{inside}}} is no range from low to high of at most {_MOST_SHARDS}")
    width = len(bounds[1])
    return [f"{number:0{width}d}" for number in range(first, last + 1)]


def index_shard(shard: Path, skipped: SkipLog) -> tuple[dict[str, Sample], int]:
    """(sample name -> members, number of members refused), in the order of the shard, from its headers alone."""
    samples: dict[str, Sample] = {}
    refused = 0
    for member in _members(shard):
        if isinstance(member, str):
            skipped.add(shard.name, member)
            refused += 1
            continue
        name = PurePosixPath(member.name)
        base, _, extension = name.name.partition(".")
        if member.isdir() or not base or not extension:
            continue
        sample = samples.setdefault(str(name.parent / base), {})
        extension = extension.lower()
        if not member.isreg() or member.issparse():
            reason = f"refused member: {member.name} is a link, sparse or special; store plain files"
        elif extension in sample:
            reason = f"duplicate key: a second {member.name} at byte {member.offset}"
        else:
            sample[extension] = (member.offset_data, member.size)
            continue
        skipped.add(f"{shard.name}:{name.parent / base}", reason)
        refused += 1
    return samples, refused


def _members(shard: Path) -> Iterator[tarfile.TarInfo | str]:
    """The members that are wholly there, then one sentence if the shard is cut short or damaged."""
    size = shard.stat().st_size
    last = -1
    try:
        archive = tarfile.open(shard, "r:")  # noqa: SIM115 - closed below; opening has errors of its own
    except _DAMAGE as error:
        raise DataError(
            f"{shard} is no readable uncompressed tar ({error}); unpack compression, or write it again"
        ) from error
    with archive:
        while True:
            try:
                member = archive.next()
            except _DAMAGE as error:
                yield f"truncated shard: nothing can be read from byte {archive.offset} on ({error})"
                return
            if member is None:
                break
            if member.size < 0 or member.offset <= last or member.offset_data + member.size > size:
                yield f"truncated shard: {member.name} at byte {member.offset} is not wholly there"
                return
            last = member.offset
            yield member
        end = archive.offset
    with shard.open("rb") as stream:
        stream.seek(end)
        if stream.read(_BLOCK) != bytes(_BLOCK):
            yield f"truncated shard: no end mark, nothing can be read from byte {end} on"


def sample_row(key: str, shard: Path, sample: Sample, stream: BinaryIO) -> Row | str:
    """The row of a sample of `shard`, which is open as `stream`; or why there is none."""
    picture = next((sample[name] for name in PICTURES if name in sample), None)
    if picture is None:
        return f"incomplete sample: no picture ({', '.join(PICTURES)}) among {', '.join(sample) or 'its members'}"
    if picture[1] == 0:
        return "empty picture: zero bytes"
    try:
        text = _read(stream, sample["txt"]).decode("utf-8-sig") if "txt" in sample else ""
        values = json.loads(_read(stream, sample["json"])) if "json" in sample else {}
    except (ValueError, RecursionError) as error:
        return f"malformed text: {error}"
    if not isinstance(values, dict):
        values = {"caption": values}
    said = values.pop("caption", None) or []
    listed = said if isinstance(said, list) else [said]
    captions = [*text.splitlines(), *(item for item in listed if isinstance(item, str))]
    captions = tuple(dict.fromkeys(caption.strip() for caption in captions if caption.strip()))
    if not captions:
        return "incomplete sample: no caption in .txt or in caption of .json"
    scalars = {name: as_text(value) for name, value in values.items() if isinstance(value, str | int | float)}
    return Row(
        key=key,
        picture=SpanRef(shard, *picture),
        captions=captions,
        pair=caption_pair(captions),
        attributes={name: value for name, value in scalars.items() if value},
    )


def _read(stream: BinaryIO, span: tuple[int, int]) -> bytes:
    stream.seek(span[0])
    return stream.read(span[1])
