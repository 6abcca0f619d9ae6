"""Batches of pairs: every row once an epoch, any step told again, the same with worker processes."""

import io
import multiprocessing
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from amodal.core.batch import Batch
from amodal.core.errors import DataError
from amodal.core.ranks import ALONE, Ranks
from amodal.data.batches import MEMORY_FOR_PICTURES, Captions, PairBatches, Part, Pictures, draw_index, fewer_words
from amodal.data.pictures import BrokenPicture, BytesRef
from amodal.data.rows import Row, SkipLog
from amodal.data.tokenizers import train_bpe
from amodal.data.transforms import pixels_of, random_view, to_tensor
from amodal.features import CachedImages, CachedTexts

MEAN = STD = (0.5, 0.5, 0.5)
ALL = slice(None)


def numbers(rows: list[int], own: slice, draw: torch.Generator) -> dict[str, torch.Tensor]:
    """A part that tells the rows and one draw."""
    return {"pixels": torch.tensor(rows[own]), "ids": torch.rand(len(rows), generator=draw)[own]}


def made(count: int, batch_size: int, seed: int = 0, pairs: list[str] | None = None, **given: Any) -> PairBatches:
    keys = [f"row {number}" for number in range(count)]
    return PairBatches(keys, pairs or keys, [numbers], batch_size=batch_size, seed=seed, **given)


def rows_of(batch: Batch) -> list[int]:
    assert batch.pixels is not None
    return batch.pixels.tolist()


def same(one: Batch, other: Batch) -> bool:
    fields = ("pair_id", "pixels", "ids", "ids_mask")
    pairs = [(getattr(one, name), getattr(other, name)) for name in fields]
    return one.key == other.key and all(a is b if a is None else torch.equal(a, b) for a, b in pairs)


def encoded(color: tuple[int, int, int], size: tuple[int, int] = (12, 9)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, "PNG")
    return stream.getvalue()


def as_tensor(image: Image.Image, draw: torch.Generator) -> torch.Tensor:
    return to_tensor(pixels_of(image), MEAN, STD)


def picture_rows(count: int) -> list[Row]:
    data = [encoded((20 * number, 10, 200 - 20 * number)) for number in range(count)]
    return [Row(key=f"p{n}", picture=BytesRef(data[n]), captions=("a",), pair=str(n)) for n in range(count)]


@pytest.mark.parametrize(("count", "batch_size"), [(10, 3), (12, 4), (7, 7), (9, 2)])
def test_every_row_at_most_once_an_epoch(count: int, batch_size: int) -> None:
    batches = made(count, batch_size)
    assert batches.steps_per_epoch == count // batch_size
    orders = []
    for epoch in range(3):
        first = epoch * batches.steps_per_epoch
        seen = [row for b in batches.steps(first, first + batches.steps_per_epoch) for row in rows_of(b)]
        assert len(seen) == len(set(seen)) == batch_size * batches.steps_per_epoch
        assert set(seen) <= set(range(count))
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]


def test_every_row_is_met_although_the_last_batch_is_dropped() -> None:
    batches = made(10, 3)
    seen = {row for batch in batches.steps(0, 30 * batches.steps_per_epoch) for row in rows_of(batch)}
    assert seen == set(range(10))


def test_a_step_is_the_same_whatever_was_asked_before() -> None:
    told = list(made(10, 3).steps(0, 9))
    again = made(10, 3)
    assert same(again[7], told[7])
    assert same(again[2], told[2])
    assert all(same(one, other) for one, other in zip(again.steps(4, 9), told[4:], strict=True))
    assert not same(made(10, 3, seed=1)[0], told[0])


class Rank(Ranks):
    """One of several, without the others."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count


def bucketed(count: int, batch_size: int, bucket: int, **given: Any) -> tuple[PairBatches, list[int]]:
    """Rows whose lengths are a permutation of 0, 1, 2 ..."""
    lengths = torch.randperm(count, generator=torch.Generator().manual_seed(9)).tolist()
    return made(count, batch_size, lengths=lengths, bucket=bucket, **given), lengths


@pytest.mark.parametrize(("count", "batch_size", "bucket"), [(100, 4, 5), (103, 4, 4), (12, 4, 9), (7, 7, 1)])
def test_bucketed_rows_come_once_an_epoch(count: int, batch_size: int, bucket: int) -> None:
    batches, _ = bucketed(count, batch_size, bucket)
    for epoch in range(3):
        first = epoch * batches.steps_per_epoch
        seen = [row for b in batches.steps(first, first + batches.steps_per_epoch) for row in rows_of(b)]
        assert len(seen) == len(set(seen)) == count // batch_size * batch_size
    met = {row for batch in batches.steps(0, 40 * batches.steps_per_epoch) for row in rows_of(batch)}
    assert met == set(range(count))  # what is left over is drawn anew, not always the longest


def test_bucketed_rows_of_a_batch_are_alike_in_length_and_batches_are_not_in_order() -> None:
    """Of 4 batches dealt out by length, one spans about a quarter of all lengths, where it would span 0.88."""
    spans, means, companions = [], [], set()
    batches, lengths = bucketed(800, 8, 4)
    for batch in batches.steps(0, 200):
        of_batch = [lengths[row] for row in rows_of(batch)]
        spans.append((max(of_batch) - min(of_batch)) / 800)
        means.append(sum(of_batch) / 8)
        companions.update(rows_of(batch) if 0 in rows_of(batch) else [])
    assert sum(spans) / 200 < 0.3
    assert len(companions) > 12  # of at most 15: another epoch, other companions
    ranks = torch.tensor(means[:100]).argsort().argsort().float()
    assert torch.corrcoef(torch.stack([ranks, torch.arange(100.0)]))[0, 1].abs() < 0.3
    neighbours = torch.corrcoef(torch.stack([torch.tensor(means[:99]), torch.tensor(means[1:100])]))[0, 1]
    assert neighbours.abs() < 0.35


def test_ranks_get_short_and_long_rows_alike() -> None:
    shares = []
    for rank in range(2):
        batches, lengths = bucketed(800, 8, 4, ranks=Rank(rank, 2))
        shares.append([lengths[row] for batch in batches.steps(0, 100) for row in rows_of(batch)])
    assert sorted(shares[0] + shares[1]) == list(range(800))
    assert abs(sum(shares[0]) - sum(shares[1])) / 400 < 8


def test_a_bucketed_step_is_the_same_whatever_was_asked_before() -> None:
    told = list(bucketed(40, 4, 3)[0].steps(0, 25))
    again = bucketed(40, 4, 3)[0]
    assert same(again[17], told[17])
    assert same(again[2], told[2])
    assert all(same(one, other) for one, other in zip(again.steps(8, 25), told[8:], strict=True))
    assert not same(bucketed(40, 4, 3, seed=1)[0][0], told[0])


def test_draws_differ_between_steps_and_between_parts() -> None:
    def other(rows: list[int], own: slice, draw: torch.Generator) -> dict[str, torch.Tensor]:
        return {"ids_mask": torch.rand(len(rows), generator=draw)[own]}

    batches = PairBatches(list("abcd"), list("abcd"), [numbers, other], batch_size=4, seed=0)
    first, second = batches[0], batches[1]
    assert first.ids is not None
    assert first.ids_mask is not None
    assert second.ids is not None
    assert not torch.equal(first.ids, second.ids)
    assert not torch.equal(first.ids, first.ids_mask)


def words(batch: Batch) -> list[list[int]]:
    """The real ids of each row."""
    assert batch.ids is not None
    assert batch.ids_mask is not None
    return [row[mask].tolist() for row, mask in zip(batch.ids, batch.ids_mask, strict=True)]


@pytest.mark.parametrize("count", [2, 3, 6])
def test_ranks_share_out_what_one_process_gives(count: int) -> None:
    """No row twice and none left out, and each looks as to one process: pictures, captions, cached features."""
    rows = picture_rows(13)
    captions = [[f"picture {n}", f"number {n}", "some picture"] for n in range(13)]
    tokenizer = train_bpe([text for row in captions for text in row], vocabulary=300, context_length=16)
    keys = [row.key for row in rows]
    view = Pictures(rows, lambda image, draw: to_tensor(random_view(image, 6, draw, jitter=0.2), MEAN, STD))
    text = CachedTexts(torch.arange(39.0)[:, None], [range(3 * n, 3 * n + 3) for n in range(13)])
    picture = CachedImages(torch.arange(26.0).view(2, 13, 1))

    def of(rank: Ranks, *parts: Part) -> list[Batch]:
        batches = PairBatches(keys, keys, parts, batch_size=6, seed=5, ranks=rank)
        assert batches.steps_per_epoch == 2
        return list(batches.steps(0, 6))

    for parts in ((view, Captions(captions, tokenizer, left_out=0.5)), (picture, text)):
        one, shares = of(ALONE, *parts), [of(Rank(rank, count), *parts) for rank in range(count)]
        for whole, *several in zip(one, *shares, strict=True):
            assert sum((part.key for part in several), ()) == whole.key
            assert torch.equal(torch.cat([part.pair_id for part in several]), whole.pair_id)
            if whole.pixels is not None:
                assert torch.equal(torch.cat([b.pixels for b in several if b.pixels is not None]), whole.pixels)
                assert [row for part in several for row in words(part)] == words(whole)
            else:
                assert whole.image is not None
                assert whole.text is not None
                assert torch.equal(torch.cat([b.image.pooled for b in several if b.image]), whole.image.pooled)
                assert torch.equal(torch.cat([b.text.pooled for b in several if b.text]), whole.text.pooled)


def test_a_batch_that_does_not_divide_among_ranks_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"batch of 7 pairs does not divide among 2 processes; set training.batch_size to 6"
    ):
        PairBatches(list("abcdefg"), list("abcdefg"), [numbers], batch_size=7, seed=0, ranks=Rank(0, 2))


def test_rows_of_one_pair_share_an_id() -> None:
    pairs = ["cat", "dog", "cat", "cow", "dog", "cat"]
    batch = made(6, 6, pairs=pairs)[0]
    for i, row in enumerate(rows_of(batch)):
        assert batch.key[i] == f"row {row}"
        for j, other in enumerate(rows_of(batch)):
            assert (batch.pair_id[i] == batch.pair_id[j]).item() == (pairs[row] == pairs[other])


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    batches = made(3, 8)
    assert batches.steps_per_epoch == 1
    assert sorted(rows_of(batches[0])) == [0, 1, 2]
    assert len(made(2, 2)[0]) == 2
    with pytest.raises(DataError, match="at least two pairs; this set has 1"):
        made(1, 8)


def test_draw_index_stays_in_bounds_and_reaches_every_number() -> None:
    draw = torch.Generator().manual_seed(0)
    assert {draw_index(3, draw) for _ in range(200)} == {0, 1, 2}
    assert {draw_index(1, draw) for _ in range(5)} == {0}


def test_captions_are_drawn_from_their_own_row() -> None:
    captions = [["a red cat", "one cat"], ["a blue dog"]]
    tokenizer = train_bpe([text for row in captions for text in row], vocabulary=300, context_length=16)
    part = Captions(captions, tokenizer)
    draw = torch.Generator().manual_seed(0)
    seen: set[tuple[int, ...]] = set()
    for _ in range(20):
        fields = part([1, 0], ALL, draw)
        ids, mask = fields["ids"], fields["ids_mask"]
        assert ids.shape == mask.shape
        dog, _ = tokenizer(["a blue dog"])
        assert ids[0][mask[0]].tolist() == dog[0].tolist()
        seen.add(tuple(ids[1][mask[1]].tolist()))
    assert seen == {tuple(tokenizer([text])[0][0].tolist()) for text in captions[0]}


def test_fewer_words_keep_their_order_and_never_all_go() -> None:
    text, draw = "one two three four", torch.Generator().manual_seed(0)
    told = [fewer_words(text, 0.9, draw) for _ in range(300)]
    assert all(words and words == [word for word in text.split() if word in words] for words in map(str.split, told))
    counts = [len(words.split()) for words in told]
    assert set(counts) == {1, 2, 3, 4}
    assert 0.45 < sum(counts) / 1200 < 0.7  # 0.9 / 2 go in the mean; a text that lost all stays whole
    assert fewer_words("  alone ", 1.0, draw).strip() == "alone"
    assert fewer_words("", 1.0, draw) == ""
    again = torch.Generator().manual_seed(0)
    assert told == [fewer_words(text, 0.9, again) for _ in range(300)]


def test_captions_lose_words_only_when_asked() -> None:
    captions = [["a red cat on a blue mat"]]
    tokenizer = train_bpe(captions[0], vocabulary=300, context_length=64)
    whole = tokenizer(captions[0])[0].tolist()

    def told(left_out: float) -> list[list[list[int]]]:
        part, draw = Captions(captions, tokenizer, left_out=left_out), torch.Generator().manual_seed(0)
        return [part([0], ALL, draw)["ids"].tolist() for _ in range(20)]

    assert all(ids == whole for ids in told(0.0))
    assert len({str(ids) for ids in told(0.8)}) > 5


def test_pictures_are_prepared_each_time_and_decoded_once() -> None:
    rows = picture_rows(3)
    prepared: list[Image.Image] = []

    def prepare(image: Image.Image, draw: torch.Generator) -> torch.Tensor:
        prepared.append(image)
        return to_tensor(pixels_of(image), MEAN, STD)

    part = Pictures(rows, prepare)
    pixels = part([2, 0, 2], ALL, torch.Generator())["pixels"]
    assert pixels.shape == (3, 3, 9, 12)
    assert torch.equal(pixels[0], pixels[2])
    assert not torch.equal(pixels[0], pixels[1])
    assert prepared[0] is prepared[2]


def test_pictures_beyond_the_memory_are_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amodal.data.batches.MEMORY_FOR_PICTURES", 3 * 12 * 9)
    part = Pictures(picture_rows(2), as_tensor)
    assert part.image(0) is part.image(0)
    assert part.image(1) is not part.image(1)


def test_broken_pictures_are_dropped_and_named_and_the_others_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = picture_rows(3)
    rows[1] = Row(key="bad.png", picture=BytesRef(b"no picture"), captions=("a",), pair="1")
    decoded, plain = [], BytesRef.image

    def image(self: BytesRef, at_least: int | None = None) -> Image.Image:
        decoded.append(self)
        return plain(self, at_least)

    monkeypatch.setattr(BytesRef, "image", image)
    part, skipped = Pictures(rows, as_tensor), SkipLog()
    with pytest.raises(BrokenPicture):
        part([1], ALL, torch.Generator())
    decoded.clear()
    assert part.keep_readable(skipped) == [0, 2]
    assert [entry.key for entry in skipped.entries] == ["bad.png"]
    pixels = part([1, 0], ALL, torch.Generator())["pixels"]
    assert decoded == [row.picture for row in rows]
    assert torch.equal(pixels[0], to_tensor(pixels_of(plain(decoded[2])), MEAN, STD))
    assert torch.equal(pixels[1], to_tensor(pixels_of(plain(decoded[0])), MEAN, STD))


def test_workers_are_handed_no_decoded_picture() -> None:
    part = Pictures(picture_rows(2), as_tensor)
    small = len(pickle.dumps(part))
    part.image(0)
    assert len(pickle.dumps(part)) == small
    assert pickle.loads(pickle.dumps(part)).image(0).size == (12, 9)


@pytest.mark.parametrize("bucket", [0, 2])
def test_workers_give_what_the_training_process_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: int
) -> None:
    module = tmp_path / "prepare_in_workers.py"
    module.write_text(
        "from amodal.data.transforms import random_view, to_tensor\n"
        "def prepare(image, draw):\n"
        "    return to_tensor(random_view(image, 8, draw), (0.5,) * 3, (0.5,) * 3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    prepare = __import__("prepare_in_workers").prepare
    rows = picture_rows(6)
    captions = [[f"picture {n}", f"number {n}", "some picture"] for n in range(6)]
    tokenizer = train_bpe([text for row in captions for text in row], vocabulary=300, context_length=16)
    keys = [row.key for row in rows]
    parts = [Pictures(rows, prepare), Captions(captions, tokenizer, left_out=0.5)]
    batches = PairBatches(keys, keys, parts, batch_size=2, seed=5, lengths=[3, 1, 4, 1, 5, 9], bucket=bucket)
    plain, ahead = list(batches.steps(1, 6)), list(batches.steps(1, 6, workers=2))
    assert len(plain) == len(ahead) == 5
    assert all(same(one, other) for one, other in zip(plain, ahead, strict=True))


def test_workers_take_one_core_each_and_share_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "what_workers_take.py"
    module.write_text(
        "import os, torch\n"
        "from amodal.data.batches import Pictures\n"
        "class Taken(Pictures):\n"
        "    def __call__(self, rows, own, draw):\n"
        "        cores = [torch.get_num_threads(), int(os.environ['TOKENIZERS_PARALLELISM'] == 'false')]\n"
        "        return {'pixels': torch.tensor([*cores, self._room])}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    part = __import__("what_workers_take").Taken(picture_rows(2), as_tensor)
    batches = PairBatches(["a", "b"], ["a", "b"], [part], batch_size=2, seed=0)
    for batch in batches.steps(0, 4, workers=2):
        assert batch.pixels is not None
        assert batch.pixels.tolist() == [1, 1, MEMORY_FOR_PICTURES // 2]
    assert "TOKENIZERS_PARALLELISM" not in os.environ


def test_random_views_of_a_batch_can_be_told_again() -> None:
    rows = picture_rows(4)
    part = Pictures(rows, lambda image, draw: to_tensor(random_view(image, 6, draw, jitter=0.2), MEAN, STD))
    keys = [row.key for row in rows]
    batches = PairBatches(keys, keys, [part], batch_size=4, seed=1)
    assert same(batches[3], batches[3])
    assert not same(batches[3], batches[4])


def interrupted_workers(batches: PairBatches) -> list[Batch]:
    """What comes when every worker gets the interrupt of a terminal after the first batch."""
    seen = []
    for batch in batches.steps(0, 12, workers=1):
        if not seen:
            for child in multiprocessing.active_children():
                assert child.pid is not None
                os.kill(child.pid, signal.SIGINT)
        seen.append(batch)
    return seen


def test_workers_leave_an_interrupt_to_the_training_process() -> None:
    tokenizer = train_bpe(["a cat", "a dog"], vocabulary=300, context_length=8)
    part = Captions([["a cat"], ["a dog"]], tokenizer)
    assert len(interrupted_workers(PairBatches(["a", "b"], ["a", "b"], [part], batch_size=2, seed=0))) == 12
