"""Streams of shards: every sample exactly once an epoch, whatever reads it; any step told again; little memory."""

import io
import itertools
import os
import tarfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from amodal.core.batch import Batch
from amodal.core.errors import DataError
from amodal.core.ranks import ALONE, Ranks
from amodal.core.seeds import generator_for
from amodal.data.batches import Captions, Pictures
from amodal.data.rows import SkipLog
from amodal.data.shard_index import Shards, open_shards
from amodal.data.shards import read_shards
from amodal.data.streams import EpochOrder, ShardBatches
from amodal.data.tokenizers import Tokenizer, train_bpe
from amodal.data.transforms import random_view, to_tensor

WORDS: Tokenizer = train_bpe(["thing number 0 1 2 3 4 5 6 7 8 9"], vocabulary=300, context_length=16)


class Rank(Ranks):
    """One of several, without the others."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count


def encoded(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 8), (number % 256, number // 256, 7)).save(stream, "PNG")
    return stream.getvalue()


def written(folder: Path, counts: list[int], broken: tuple[int, ...] = ()) -> list[Path]:
    """Shards of so many samples; the picture's colour and both captions say the number of the sample."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = itertools.count()
    paths = []
    for shard, count in enumerate(counts):
        paths.append(folder / f"{shard:03d}.tar")
        with tarfile.open(paths[-1], "w") as archive:
            for number in itertools.islice(numbers, count):
                said = f"thing {number}\nnumber {number}".encode()
                for name, content in ((f"{number}.png", encoded(number)), (f"{number}.txt", said)):
                    content = content[:40] if number in broken and name.endswith("png") else content
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    return paths


def view(image: Image.Image, draw: torch.Generator) -> Tensor:
    return to_tensor(random_view(image, 6, draw, jitter=0.2), (0.5,) * 3, (0.5,) * 3)


def stream(
    folder: Path,
    counts: list[int],
    batch_size: int = 4,
    *,
    broken: tuple[int, ...] = (),
    limit: float = 0.5,
    mixed: int = 3,
    prepare: Callable[..., Tensor] = view,
    **more: Any,
) -> ShardBatches:
    paths = written(folder / "data", counts, broken)
    shards = open_shards(paths, folder=folder / "indexes", skipped=SkipLog(limit), mixed=mixed)
    return ShardBatches(shards, prepare, WORDS, **{"batch_size": batch_size, "seed": 0, **more})


def numbers(batches: list[Batch]) -> list[int]:
    return [int(key.split(":")[1]) for batch in batches for key in batch.key]


def joined(parts: list[Batch]) -> dict[str, Any]:
    """The batch of all ranks; ids are padded to the longest caption of a rank's rows, and here of all."""
    length = max(part.ids.shape[1] for part in parts if part.ids is not None)
    whole = {
        name: torch.cat(
            [torch.nn.functional.pad(getattr(part, name), (0, length - getattr(part, name).shape[1])) for part in parts]
        )
        for name in ("ids", "ids_mask")
    }
    whole |= {name: torch.cat([getattr(part, name) for part in parts]) for name in ("pixels", "pair_id")}
    whole["ids"] = whole["ids"] * whole["ids_mask"]
    return whole | {"key": tuple(key for part in parts for key in part.key)}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one["key"] == other["key"] and all(torch.equal(one[n], other[n]) for n in one if n != "key")


SIZES = [[5, 1, 9, 2, 7], [12], [3, 0, 1, 0, 8], [1] * 12, [40, 2]]


@pytest.mark.parametrize("counts", SIZES)
@pytest.mark.parametrize("mixed", [1, 2, 16])
def test_every_sample_comes_exactly_once_an_epoch(counts: list[int], mixed: int) -> None:
    order = EpochOrder(counts, mixed=mixed, seed=1)
    everything = {(shard, number) for shard, count in enumerate(counts) for number in range(count)}
    epochs = [order.samples(epoch * order.total, (epoch + 1) * order.total) for epoch in range(3)]
    for places in epochs:
        told = [(int(shard), int(number)) for shard, number in places]
        assert len(told) == len(everything)
        assert set(told) == everything
    assert not np.array_equal(epochs[0], epochs[1])
    assert np.array_equal(epochs[2], EpochOrder(counts, mixed=mixed, seed=1).samples(2 * order.total, 3 * order.total))
    assert not np.array_equal(epochs[0], EpochOrder(counts, mixed=mixed, seed=2).samples(0, order.total))
    across = np.concatenate(epochs)[order.total - 3 : order.total + 2]
    assert np.array_equal(order.samples(order.total - 3, order.total + 2), across)


def test_shards_are_mixed_and_few_at_a_time() -> None:
    order = EpochOrder([50] * 40, mixed=5, seed=0)
    shards = order.samples(0, order.total)[:, 0]
    for pack in shards.reshape(8, 250):
        assert len(set(pack.tolist())) == 5
        assert all(len(set(part.tolist())) >= 4 for part in pack.reshape(10, 25))  # chance of fewer: under 1 in 1,000
    assert shards.reshape(8, 250).max(axis=1).tolist() != sorted(shards.reshape(8, 250).max(axis=1).tolist())


@pytest.mark.parametrize(
    ("counts", "batch_size", "ranks"), [([5, 1, 9, 2, 7], 4, 2), ([12], 6, 3), ([3, 0, 1, 8], 4, 4)]
)
def test_ranks_share_out_what_one_process_reads(counts: list[int], batch_size: int, ranks: int, tmp_path: Path) -> None:
    """Fewer shards than ranks, too: each rank reads single samples."""
    alone = stream(tmp_path, counts, batch_size, left_out=0.5)
    shares = [stream(tmp_path, counts, batch_size, left_out=0.5, ranks=Rank(rank, ranks)) for rank in range(ranks)]
    steps = 3 * sum(counts) // batch_size
    for whole, *parts in zip(*(each.steps(0, steps) for each in (alone, *shares)), strict=True):
        assert len(parts[0]) == batch_size // ranks
        assert same(joined([whole]), joined(parts))
    read = numbers([batch for share in shares for batch in share.steps(0, sum(counts))])
    assert sorted(read) == sorted(list(range(sum(counts))) * batch_size)  # so many epochs


def test_an_epoch_leaves_nothing_over(tmp_path: Path) -> None:
    """Ten samples in batches of four: the last two of an epoch open the batch that the next one fills up."""
    batches = stream(tmp_path, [6, 4])
    assert (batches.steps_per_epoch, batches.batch_size) == (2, 4)
    read = numbers(list(batches.steps(0, 5)))
    assert sorted(read[:10]) == sorted(read[10:]) == list(range(10))
    assert read[:10] != read[10:]


def test_batches_look_as_those_of_a_table(tmp_path: Path) -> None:
    """The same rows in the same step get the same views and captions whether they are streamed or held in memory."""
    streamed = stream(tmp_path, [8], 8, seed=3, left_out=0.5)
    rows = {row.key: row for row in read_shards(tmp_path / "data").rows}
    for step, batch in enumerate(streamed.steps(0, 3)):
        ordered = [rows[key] for key in batch.key]
        parts = (Pictures(ordered, view), Captions([row.captions for row in ordered], WORDS, left_out=0.5))
        for name, part in enumerate(parts):
            for field, wanted in part(list(range(8)), slice(None), generator_for(3, "draw", step, name)).items():
                assert torch.equal(getattr(batch, field), wanted)


def test_a_run_that_goes_on_reads_what_would_have_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(stream(tmp_path, [5, 1, 9, 2, 7]).steps(0, 20))
    decoded: list[str] = []
    real = Shards.row
    monkeypatch.setattr(Shards, "row", lambda self, *place: decoded.append(str(place)) or real(self, *place))
    later = list(stream(tmp_path, [5, 1, 9, 2, 7]).steps(8, 20))
    assert all(same(joined([one]), joined([other])) for one, other in zip(whole[8:], later, strict=True))
    assert len(decoded) == 12 * 4  # nothing before was read


def test_workers_read_what_one_process_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "prepare_streams_in_workers.py"
    module.write_text(
        "import torch\n"
        "from amodal.data.transforms import random_view, to_tensor\n"
        "def prepare(image, draw):\n"
        "    assert torch.get_num_threads() == 1\n"
        "    return to_tensor(random_view(image, 8, draw), (0.5,) * 3, (0.5,) * 3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    prepare = __import__("prepare_streams_in_workers").prepare
    torch.set_num_threads(1)
    made = [stream(tmp_path, [7, 2], 3, prepare=prepare, left_out=0.5, broken=(4,)) for _ in range(2)]
    plain, ahead = list(made[0].steps(1, 9)), list(made[1].steps(1, 9, workers=3))  # more workers than shards
    assert all(same(joined([one]), joined([other])) for one, other in zip(plain, ahead, strict=True))
    logs = [each.shards.skipped.entries for each in made]
    assert logs[0] == logs[1]
    assert [entry.key for entry in logs[0]] == ["000.tar:4"]


def test_a_broken_sample_is_named_and_its_place_filled(tmp_path: Path) -> None:
    batches = stream(tmp_path, [5, 1, 9, 2, 7], broken=(3, 11))
    whole = numbers(list(stream(tmp_path / "whole", [5, 1, 9, 2, 7]).steps(0, 6)))
    read = numbers(list(batches.steps(0, 6)))
    assert [new for new, old in zip(read, whole, strict=True) if old not in (3, 11)] == [
        old for old in whole if old not in (3, 11)
    ]
    assert not {3, 11} & set(read)
    assert sorted(entry.key for entry in batches.shards.skipped.entries) == ["000.tar:3", "002.tar:11"]
    assert read == numbers(list(stream(tmp_path, [5, 1, 9, 2, 7], broken=(3, 11)).steps(0, 6)))
    shares = [stream(tmp_path, [5, 1, 9, 2, 7], broken=(3, 11), ranks=Rank(rank, 2)) for rank in range(2)]
    parts = [list(share.steps(0, 6)) for share in shares]
    assert read == numbers([part for step in zip(*parts, strict=True) for part in step])
    assert len(shares[0].shards.skipped) + len(shares[1].shards.skipped) == 2
    fewer = stream(tmp_path, [5, 1, 9, 2, 7], broken=(3, 11), limit=0.05)
    with pytest.raises(DataError, match="2 of 24 rows cannot be used"):
        list(fewer.steps(0, 6))


def test_nothing_readable_stops(tmp_path: Path) -> None:
    everything = tuple(range(6))
    with pytest.raises(DataError, match="6 of 6 rows cannot be used"):
        list(stream(tmp_path, [6], broken=everything).steps(0, 1))
    with pytest.raises(DataError, match="1000 samples in a row"):
        list(stream(tmp_path, [6], broken=everything, limit=1.0).steps(0, 1))


def test_equal_captions_are_positives_in_every_process(tmp_path: Path) -> None:
    batches = stream(tmp_path, [6], 6)
    (first,), (later,) = batches.steps(0, 1), batches.steps(1, 2)
    assert len(set(first.pair_id.tolist())) == 6
    named = [dict(zip(batch.key, batch.pair_id.tolist(), strict=True)) for batch in (first, later)]
    assert named[0] == named[1]  # a name of the words, not of the place
    assert first.pair_id.dtype == torch.int64
    with tarfile.open(tmp_path / "data" / "twins.tar", "w") as archive:
        for number in range(3):
            for name, content in ((f"{number}.png", encoded(number)), (f"{number}.txt", b"Thing  0")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    twins = open_shards([tmp_path / "data" / "twins.tar"], folder=tmp_path / "indexes", skipped=SkipLog())
    (batch,) = ShardBatches(twins, view, WORDS, batch_size=3, seed=0).steps(0, 1)
    assert len(set(batch.pair_id.tolist())) == 1


def test_first_caption_alone(tmp_path: Path) -> None:
    def texts(batches: ShardBatches) -> set[tuple[int, ...]]:
        """The distinct texts of 48 rows, without padding."""
        told = [joined([batch]) for batch in batches.steps(0, 8)]
        rows = zip([r for b in told for r in b["ids"]], [r for b in told for r in b["ids_mask"]], strict=True)
        return {tuple(ids[mask].tolist()) for ids, mask in rows}

    assert len(texts(stream(tmp_path, [6], 6, first_caption=True))) == 6
    assert len(texts(stream(tmp_path, [6], 6))) == 12


def test_sets_too_small_and_batches_that_do_not_divide(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least two pairs"):
        stream(tmp_path, [1])
    with pytest.raises(DataError, match="does not divide among 3 processes"):
        stream(tmp_path, [9], 4, ranks=Rank(0, 3))
    assert stream(tmp_path, [3, 2], 64, ranks=ALONE).batch_size == 5


def test_memory_stays_small_however_much_is_read(tmp_path: Path) -> None:
    """No decoded picture outlives its batch, no shard stays open, and few indexes and orders are held."""
    seen: list[weakref.ref[Image.Image]] = []

    def note(image: Image.Image, draw: torch.Generator) -> Tensor:
        seen.append(weakref.ref(image))
        return view(image, draw)

    batches = stream(tmp_path, [10] * 60, prepare=note, mixed=4)
    open_files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    most = 0
    for _ in batches.steps(0, 150):
        most = max(most, sum(image() is not None for image in seen))
        if open_files:
            assert len(os.listdir("/proc/self/fd")) == open_files
    assert len(seen) == 600
    assert most <= 2 * batches.batch_size
    assert len(batches.shards._indexes) <= 6
    assert max(len(pack) for pack in batches._order._packs.values()) == 40
    assert len(batches._order._packs) <= 2
