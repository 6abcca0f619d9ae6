"""Batches with mined rows, the task that learns from them, and a set where the batch's own negatives teach nothing."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Batch
from amodal.data.batches import PairBatches
from amodal.data.mined import ANCHOR, IMAGES, TEXTS, MinedBatches
from amodal.features import CachedImages, CachedTexts, Encoder
from amodal.models import DualEncoder
from amodal.objectives import InfoNCE, Mined, TripletLoss, info_nce
from amodal.recipes.mining import mined
from amodal.recipes.schema import MiningConfig
from amodal.tasks import Contrastive, MinedContrastive
from amodal.training.gradients import Cached, plain

NONE = -1


class Linear(nn.Module):
    """A head without a bias whose vectors are of unit length."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, out, bias=False)

    def forward(self, pooled: Tensor) -> Tensor:
        return F.normalize(self.map(pooled), dim=-1)


def pairs_of(image_NF: Tensor, text_NF: Tensor, ids: list[str], batch_size: int) -> PairBatches:
    parts = [CachedImages(image_NF[None]), CachedTexts(text_NF, [[row] for row in range(len(text_NF))])]
    return PairBatches([f"row {row}" for row in range(len(ids))], ids, parts, batch_size=batch_size, seed=0)


def model_of(image_width: int, text_width: int, out: int, seed: int = 0) -> DualEncoder:
    torch.manual_seed(seed)
    model = DualEncoder(nn.Identity(), nn.Identity(), Linear(image_width, out), Linear(text_width, out))
    return model.train()


def test_a_batch_holds_its_own_rows_first_and_each_mined_row_once() -> None:
    draw = torch.Generator().manual_seed(0)
    image, text = torch.randn(20, 3, generator=draw), torch.randn(20, 3, generator=draw)
    pairs = pairs_of(image, text, [str(row // 2) for row in range(20)], 6)
    tables = (
        torch.stack([torch.roll(torch.arange(20), -shift) for shift in (3, 4, 5)], dim=1),
        torch.full((20, 3), NONE),
    )
    tables[1][:, 0] = torch.roll(torch.arange(20), -7)
    begun: list[int] = []
    batches = MinedBatches(pairs, lambda: tables, each=2, begin=begun.append)
    assert batches.steps_per_epoch == 3
    for step, batch in enumerate(batches.steps(1, 7), 1):
        own = pairs.rows_of(step)
        row_of = [int(key.removeprefix("row ")) for key in batch.key]
        assert row_of[:6] == own
        assert len(set(row_of)) == len(row_of) > 6
        assert batch.truth[ANCHOR].tolist() == [True] * 6 + [False] * (len(row_of) - 6)
        assert batch.image is not None
        torch.testing.assert_close(batch.image.pooled, image[row_of])
        for place, row in enumerate(own):
            texts = [row_of[at] for at in batch.truth[TEXTS][place].tolist()]
            assert len(set(texts)) == 2
            assert {(number - row) % 20 for number in texts} <= {3, 4, 5}
            images = [at if at == NONE else row_of[at] for at in batch.truth[IMAGES][place].tolist()]
            assert sorted(images) == sorted([NONE, (row + 7) % 20])
        assert (batch.truth[TEXTS][6:] == NONE).all()
    assert begun == [1, 2]  # steps 3 and 6 begin epochs, step 1 lies within one
    again = next(batches.steps(4, 5))
    assert again.key == batches.batch(4).key


def batch_of(model: DualEncoder) -> tuple[Batch, MinedContrastive]:
    draw = torch.Generator().manual_seed(1)
    image, text = torch.randn(12, 4, generator=draw), torch.randn(12, 4, generator=draw)
    pairs = pairs_of(image, text, [str(row) for row in range(12)], 5)
    tables = torch.roll(torch.arange(12), -2)[:, None], torch.roll(torch.arange(12), -5)[:, None]
    return MinedBatches(pairs, lambda: tables, each=1, begin=lambda epoch: None).batch(0), MinedContrastive(
        InfoNCE(), rows=12, pool=1
    )


def test_the_loss_is_that_of_the_own_pairs_with_their_mined_rows() -> None:
    model = model_of(4, 4, 3)
    batch, task = batch_of(model)
    result, (image, text) = task.step(model, batch), model(batch)
    texts, images = batch.truth[TEXTS][:5, 0], batch.truth[IMAGES][:5, 0]
    ids = batch.pair_id
    by_hand = Mined(text[texts][:, None], ids[texts][:, None], image[images][:, None], ids[images][:, None])
    expected = info_nce(image[:5], text[:5], task.objective.logit_scale, ids[:5], mined=by_hand)
    torch.testing.assert_close(result.loss, expected)
    assert result.count == 5
    assert result.terms["mined"] == 1
    assert result.terms["chance"] == pytest.approx(torch.tensor(6.0).log().item())


def test_gradients_in_two_passes_are_those_of_one() -> None:
    model = model_of(4, 4, 3)
    batch, task = batch_of(model)
    found = []
    for way in (plain, Cached(3)):
        model.zero_grad()
        way(task, model, batch)
        found.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(found[0], found[1])


FAMILIES, KINDS = 160, 6


def families(first: int, count: int) -> tuple[Tensor, Tensor, list[str]]:
    """Pairs of a family and one of six kinds; the family is loud on both sides, the kind, as a shop's sizes, quiet."""
    draw = torch.Generator().manual_seed(first)
    family = torch.randn(count, 24, generator=draw).repeat_interleave(KINDS, 0)
    kind = torch.eye(KINDS).repeat(count, 1)
    image = torch.cat([family + 0.05 * torch.randn(family.shape, generator=draw), 0.5 * kind], 1)
    text = torch.cat([0.5 * kind.flip(1), family + 0.05 * torch.randn(family.shape, generator=draw)], 1)
    return image, text, [f"{first}-{row}" for row in range(len(family))]


def learnt(each: int, **changes: Any) -> float:
    """R@1 on families that were never trained on, after as many steps of as many pairs."""
    image, text, ids = families(0, FAMILIES)
    pairs = pairs_of(image, text, ids, 16)
    model, task = model_of(30, 30, 32), Contrastive(changes.pop("objective", None) or InfoNCE())
    words: Any = None
    encoder = Encoder(model, words, None, torch.device("cpu"))
    batches: Any = pairs
    if each:
        config = MiningConfig(each=each, pool=KINDS - 1, share=changes.pop("share", 1.5), every=1)
        task, batches = mined(config, encoder, pairs, task, lambda line: None)
    optimizer = torch.optim.Adam([*model.parameters(), *task.parameters()], lr=0.01)
    for batch in batches.steps(0, 2 * pairs.steps_per_epoch):
        task.step(model, batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        task.after_step(model)
    image, text, _ = families(1000, 60)
    with torch.no_grad():
        score = model.image_head(image) @ model.text_head(text).T
    return (score.argmax(1) == torch.arange(len(score))).double().mean().item()


def test_mined_negatives_teach_what_a_batch_does_not_show() -> None:
    """960 pairs in batches of 16: two of a family seldom meet (a pair has 0.08 of its five siblings in its batch)."""
    alone, with_mined = learnt(0), learnt(4)
    assert with_mined > alone + 0.2, (alone, with_mined)
    assert learnt(4, objective=TripletLoss(0.1)) > learnt(0, objective=TripletLoss(0.1)) + 0.2


def test_state_holds_the_candidates() -> None:
    task = MinedContrastive(InfoNCE(), rows=3, pool=2)
    state: Mapping[str, Tensor] = task.state_dict()
    assert {"text_NP", "image_NP"} <= state.keys()
    assert (state["text_NP"] == NONE).all()
