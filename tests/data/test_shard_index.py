"""Indexes of shards: any sample by its number, counted from headers or sizes.json, kept away from the shards."""

import io
import json
import os
import pickle
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amodal.core.errors import AmodalError, DataError
from amodal.core.ranks import Ranks
from amodal.data.rows import Row, SkipLog, Skipped
from amodal.data.shard_index import Recent, Shards, open_shards, read_index
from amodal.data.shards import index_shard, read_shards


def write(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def filled(path: Path, count: int) -> Path:
    """A shard of so many samples, every third with a .json and every fourth with a long name."""
    members: dict[str, bytes] = {}
    for number in range(count):
        name = f"{'d' * 120 if number % 4 == 0 else 'd'}/{number:03d}"
        members[f"{name}.jpg"] = b"picture %d" % number
        if number % 3:
            members[f"{name}.txt"] = f"thing {number}\nnumber {number}".encode()
        else:
            members[f"{name}.json"] = json.dumps({"caption": f"thing {number}", "licence": "free"}).encode()
    return write(path, members)


def opened(folder: Path, *paths: Path, limit: float = 1.0, **more: Any) -> Shards:
    return open_shards(paths, folder=folder / "indexes", skipped=SkipLog(limit), **more)


def test_rows_by_number_are_those_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    paths = [filled(tmp_path / "data" / f"{n}.tar", count) for n, count in enumerate((7, 1, 5))]
    shards = opened(tmp_path, *paths)
    assert (shards.counts, len(shards)) == ((7, 1, 5), 13)
    rows = [shards.row(shard, number) for shard, count in enumerate(shards.counts) for number in range(count)]
    assert rows == read_shards(tmp_path / "data").rows
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["0.tar", "1.tar", "2.tar"]


def test_headers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(tmp_path / "a.tar", 6)
    before = opened(tmp_path, path)

    def refuse(*words: object) -> None:
        raise AssertionError("headers were read again")

    with monkeypatch.context() as patch:
        patch.setattr("amodal.data.shard_index.index_shard", refuse)
        assert [opened(tmp_path, path).row(0, n) for n in range(6)] == [before.row(0, n) for n in range(6)]
    filled(path, 9)  # another shard under the same name
    assert len(opened(tmp_path, path)) == 9
    for file in (tmp_path / "indexes").iterdir():
        file.write_bytes(b"damaged")
    assert len(opened(tmp_path, path)) == 9


def test_workers_and_ranks_count_the_same(tmp_path: Path) -> None:
    class Second(Ranks):
        rank, count = 1, 2

    paths = [filled(tmp_path / f"{n}.tar", n + 1) for n in range(4)]
    assert opened(tmp_path, *paths, workers=2).counts == (1, 2, 3, 4)
    assert opened(tmp_path / "other", *paths, ranks=Second()).counts == (1, 2, 3, 4)


def test_of_many_readers_one_reads_the_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read, real = filled(tmp_path / "a.tar", 40), [], index_shard

    def slow(shard: Path, skipped: SkipLog) -> Any:
        read.append(shard)
        time.sleep(0.1)
        return real(shard, skipped)

    monkeypatch.setattr("amodal.data.shard_index.index_shard", slow)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: read_index(path, tmp_path / "indexes")[0], range(8)))
    assert len(read) == 1
    assert all(np.array_equal(index, found[0]) for index in found)
    assert [file.suffix for file in (tmp_path / "indexes").iterdir()] == [".npy"]
    (kept,) = (tmp_path / "indexes").iterdir()
    kept.unlink()
    claim = kept.with_suffix(".claim")
    claim.touch()  # of a process that was killed long ago
    os.utime(claim, (0, 0))
    assert np.array_equal(read_index(path, tmp_path / "indexes")[0], found[0])
    assert not claim.exists()


def test_sizes_beside_the_shards_spare_the_headers(tmp_path: Path) -> None:
    paths = [filled(tmp_path / f"{n}.tar", 4) for n in range(3)]
    (tmp_path / "sizes.json").write_text(json.dumps({"0.tar": 4, "1.tar": 6, "else.tar": 9}))
    shards = opened(tmp_path, *paths)
    assert shards.counts == (4, 6, 4)  # as it says; the third is counted
    assert len(list((tmp_path / "indexes").iterdir())) == 1
    assert isinstance(shards.row(0, 3), Row)
    missing = shards.row(1, 5)
    assert missing == Skipped("1.tar:#5", "missing sample: sizes.json says 6, the shard has 4")
    (tmp_path / "sizes.json").write_text("[4]")
    with pytest.raises(DataError, match=r"sizes\.json is no object of shard names"):
        opened(tmp_path, *paths)


def test_a_damaged_shard_is_told_each_time_and_its_whole_samples_are_read(tmp_path: Path) -> None:
    path = filled(tmp_path / "a.tar", 8)
    path.write_bytes(path.read_bytes()[:7000])
    for _ in range(2):
        shards = opened(tmp_path, path)
        assert 1 <= len(shards) < 8
        assert [entry.reason.split(":")[0] for entry in shards.skipped.entries] == ["truncated shard"]
    with pytest.raises(DataError, match="cannot be used"):
        opened(tmp_path, path, limit=0.0)


def test_incomplete_samples_keep_their_number(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", {"0.jpg": b"x", "1.txt": b"words", "2.jpg": b"x", "2.txt": b"two"})
    shards = opened(tmp_path, path)
    first, second, third = (shards.row(0, number) for number in range(3))
    assert isinstance(first, Skipped)
    assert isinstance(second, Skipped)
    assert isinstance(third, Row)
    assert (first.key, third.key) == ("a.tar:0", "a.tar:2")
    assert "no caption" in first.reason
    assert "no picture" in second.reason


def test_a_shard_that_goes_away_is_a_broken_sample(tmp_path: Path) -> None:
    path = filled(tmp_path / "a.tar", 2)
    shards = opened(tmp_path, path)
    path.unlink()
    gone = shards.row(0, 1)
    assert isinstance(gone, Skipped)
    assert gone.key == "a.tar:#1"
    assert gone.reason.startswith("unreadable shard")


def test_nothing_to_read_and_nowhere_to_keep_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no sample"):
        opened(tmp_path, write(tmp_path / "empty.tar", {}))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(AmodalError, match="set AMODAL_CACHE"):
        read_index(filled(tmp_path / "a.tar", 2), tmp_path / "file")


def test_drawn_rows_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    shards = opened(tmp_path, *(filled(tmp_path / f"{n:02d}.tar", 5) for n in range(70)))
    keys = [row.key for row in shards.drawn(64, 3)]
    assert keys == [row.key for row in shards.drawn(64, 3)]
    assert len(keys) == len({key.split(":")[0] for key in keys}) == 64  # one of each of 64 shards
    assert keys != [row.key for row in shards.drawn(64, 4)]
    assert len(list(shards.drawn(1000, 3))) == 64 * 5


def test_recent_values_are_few_and_not_handed_on(tmp_path: Path) -> None:
    made: list[int] = []
    recent = Recent(lambda key: made.append(key) or key * key, 2)
    assert [recent[key] for key in (1, 2, 1, 3, 2, 1)] == [1, 4, 1, 9, 4, 1]
    assert made == [1, 2, 3, 1]
    assert len(recent) == 2
    shards = opened(tmp_path, filled(tmp_path / "a.tar", 50))
    small = len(pickle.dumps(shards))
    row = shards.row(0, 1)
    assert len(pickle.dumps(shards)) == small
    assert pickle.loads(pickle.dumps(shards)).row(0, 1) == row


def test_ranks_bring_together_what_they_skipped(tmp_path: Path) -> None:
    class Two(Ranks):
        rank, count = 0, 2

        def everyones(self, value: object) -> list[Any]:
            return [value, (Skipped("a.tar:1", "damaged"), Skipped("a.tar:2", "damaged"))]

    shards = opened(tmp_path, filled(tmp_path / "a.tar", 20), limit=0.1)
    shards.share_skipped(Two())
    assert [entry.key for entry in shards.skipped.entries] == ["a.tar:1", "a.tar:2"]
    shards.skipped.add("a.tar:3", "damaged")
    with pytest.raises(DataError, match="3 of 20 rows cannot be used"):
        shards.share_skipped(Two())
