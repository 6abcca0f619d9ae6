"""Batches: their length, and moving everything they hold."""

from dataclasses import FrozenInstanceError

import pytest
import torch

from amodal.core.batch import Batch, StepResult, Tokens

META = torch.device("meta")


def tokens() -> Tokens:
    return Tokens(torch.zeros(2, 3, 4), torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 5))


def test_everything_moves() -> None:
    batch = Batch(
        pair_id=torch.tensor([4, 4]),
        key=("a", "b"),
        pixels=torch.zeros(2, 3, 8, 8),
        ids=torch.zeros(2, 6, dtype=torch.int64),
        ids_mask=torch.ones(2, 6, dtype=torch.bool),
        image=tokens(),
        text=tokens(),
        present={"text": torch.tensor([True, False])},
    )
    moved = batch.to(META)
    assert moved.image is not None
    assert moved.text is not None
    tensors = [moved.pair_id, moved.pixels, moved.ids, moved.ids_mask, *moved.image, *moved.text, moved.present["text"]]
    assert all(tensor is not None and tensor.device == META for tensor in tensors)
    assert isinstance(moved.image, Tokens)
    assert moved.key == ("a", "b")
    assert moved.image.pooled.shape == (2, 5)
    assert batch.pair_id.device.type == "cpu"


def test_absent_modality_stays_absent() -> None:
    moved = Batch(pair_id=torch.tensor([0]), key=("a",), text=tokens()).to(torch.device("cpu"))
    assert moved.pixels is moved.ids is moved.ids_mask is moved.image is None
    assert moved.present == {}
    assert moved.text is not None


def test_length_is_that_of_the_keys() -> None:
    assert len(Batch(pair_id=torch.arange(3), key=("a", "b", "c"))) == 3
    assert len(Batch(pair_id=torch.arange(0), key=())) == 0


def test_batches_are_frozen_and_share_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (Batch(pair_id=torch.tensor([0]), key=("a",)) for _ in range(2))
    assert one.present is not other.present
    with pytest.raises(FrozenInstanceError):
        monkeypatch.setattr(one, "key", ("b",))


def test_step_result() -> None:
    result = StepResult(loss=torch.tensor(1.0), terms={"infonce": 1.0}, count=4)
    assert result.features == {}


def test_parts_are_the_rows_of_every_modality_in_order() -> None:
    batch = Batch(
        pair_id=torch.arange(5),
        key=tuple("abcde"),
        pixels=torch.arange(15.0).view(5, 3),
        text=Tokens(
            torch.arange(10.0).view(5, 1, 2), torch.ones(5, 1, dtype=torch.bool), torch.arange(10.0).view(5, 2)
        ),
        present={"image": torch.tensor([True, False, True, True, False])},
    )
    parts = list(batch.parts(2))
    assert [part.key for part in parts] == [("a", "b"), ("c", "d"), ("e",)]
    assert torch.equal(torch.cat([part.pair_id for part in parts]), batch.pair_id)
    assert parts[1].text is not None
    assert parts[1].text.pooled.tolist() == [[4.0, 5.0], [6.0, 7.0]]
    assert parts[2].present["image"].tolist() == [False]
    assert parts[0].ids is None


def test_parts_keep_the_pictures_they_are_about() -> None:
    pixels = torch.arange(3.0)[:, None, None, None].expand(3, 1, 2, 2)
    picture = torch.tensor([2, 0, 2, 1])
    batch = Batch(pair_id=torch.arange(4), key=("a", "b", "c", "d"), pixels=pixels, picture=picture)
    for part, about in zip(batch.parts(2), ([2, 0], [2, 1]), strict=True):
        assert part.pixels is not None
        assert part.picture is not None
        assert part.pixels[part.picture][:, 0, 0, 0].tolist() == about
    (only,) = batch.rows(slice(0, 3)).parts(3)
    assert only.pixels is not None
    assert len(only.pixels) == 2
