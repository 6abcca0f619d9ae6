"""The contrastive task: InfoNCE of the features, what it reports, and the limits of the scale."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, Tokens
from amodal.models import DualEncoder, PairFeatures, ProjectionHead
from amodal.objectives import DoubtingInfoNCE, InfoNCE, SigmoidLoss, TripletLoss, info_nce
from amodal.tasks import Contrastive


def tokens(pooled: Tensor) -> Tokens:
    return Tokens(pooled[:, None], torch.ones(len(pooled), 1, dtype=torch.bool), pooled)


def batch_of(count: int = 6) -> Batch:
    draw = torch.Generator().manual_seed(0)
    image, text = (tokens(torch.randn(count, 5, generator=draw)) for _ in range(2))
    pair_id = torch.arange(count) // 2  # two rows a pair
    return Batch(pair_id=pair_id, key=tuple(map(str, range(count))), image=image, text=text)


def model_of() -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(nn.Identity(), nn.Identity(), ProjectionHead(5, 4), ProjectionHead(5, 4))


def test_loss_is_info_nce_of_the_features() -> None:
    model, batch, task = model_of(), batch_of(), Contrastive()
    result = task.step(model, batch)
    image_BD, text_BD = model(batch)
    expected = info_nce(image_BD, text_BD, task.objective.logit_scale, batch.pair_id)
    torch.testing.assert_close(result.loss, expected)
    alone = info_nce(image_BD, text_BD, task.objective.logit_scale)
    assert (result.loss - alone).abs() > 1e-3  # rows of one pair do count as positives
    assert result.count == 6
    assert result.terms == {
        "loss": pytest.approx(expected.item()),
        "bound": pytest.approx(math.log(6) - expected.item(), abs=1e-6),
        "logit_scale": pytest.approx(math.log(1 / 0.07)),
        "chance": pytest.approx(math.log(6)),
    }
    assert torch.equal(result.features["image"], image_BD)
    assert not result.features["text"].requires_grad


@pytest.mark.parametrize(("value", "kept"), [(7.0, math.log(100)), (-1.0, 0.0), (2.5, 2.5)])
def test_after_step_keeps_the_scale_within_its_limits(value: float, kept: float) -> None:
    task = Contrastive(InfoNCE(value))
    task.after_step(model_of())
    assert task.objective.logit_scale.item() == pytest.approx(kept)
    assert task.objective.logit_scale.requires_grad


def test_it_aligns_what_can_be_aligned() -> None:
    """Texts are a fixed turn of the pictures' vectors; R@1 by chance is 1/16."""
    torch.manual_seed(0)
    image = torch.randn(16, 5)
    text = image @ torch.linalg.qr(torch.randn(5, 5)).Q
    batch = Batch(pair_id=torch.arange(16), key=("x",) * 16, image=tokens(image), text=tokens(text))
    model, task = model_of(), Contrastive()
    optimizer = torch.optim.AdamW([*model.parameters(), *task.parameters()], lr=0.05)
    first = task.step(model, batch).terms["loss"]
    for _ in range(60):
        optimizer.zero_grad()
        task.step(model, batch).loss.backward()
        optimizer.step()
        task.after_step(model)
    image_BD, text_BD = model(batch)
    assert task.step(model, batch).terms["loss"] < first / 4
    assert ((image_BD @ text_BD.T).argmax(1) == torch.arange(16)).float().mean() > 0.9


@pytest.mark.parametrize("objective", [InfoNCE(decoupled=True), SigmoidLoss(), TripletLoss(), DoubtingInfoNCE(0.3)])
def test_every_objective_can_stand_in(objective: nn.Module) -> None:
    result = Contrastive(objective).step(model_of(), batch_of())
    result.loss.backward()
    assert math.isfinite(result.terms["loss"])
    assert "bound" not in result.terms


@pytest.mark.parametrize("pairs", [[0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2], [7, 7, 7, 7, 3, 9]])
@pytest.mark.parametrize("decoupled", [True, False])
def test_chance_is_the_loss_of_features_that_carry_nothing(pairs: list[int], decoupled: bool) -> None:
    batch = replace(batch_of(), pair_id=torch.tensor(pairs))
    flat = PairFeatures(*(torch.ones(6, 4) / 2 for _ in range(2)))
    terms = Contrastive(InfoNCE(decoupled=decoupled)).score(flat, batch).terms
    assert terms["loss"] == pytest.approx(terms["chance"], abs=1e-5)
    assert ("bound" in terms) != decoupled


def test_half_precision_reaches_the_towers_and_not_the_loss() -> None:
    model, batch = model_of().eval(), batch_of()
    half, whole = (Contrastive(precision=kind).step(model, batch) for kind in (torch.bfloat16, torch.float32))
    assert half.loss.dtype == torch.float32
    assert half.terms["loss"] != whole.terms["loss"]
    assert half.terms["loss"] == pytest.approx(whole.terms["loss"], rel=0.02)
    half.loss.backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
