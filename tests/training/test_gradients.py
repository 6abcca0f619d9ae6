"""The ways to a gradient: cached is that of the whole batch, accumulated that of its parts; how much fits in memory."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, Tokens
from amodal.core.errors import RecipeError
from amodal.models import DualEncoder, ProjectionHead
from amodal.objectives import InfoNCE
from amodal.tasks import Contrastive, Queued
from amodal.training import Accumulated, Cached, choose_gradients, plain, refuse_batch_statistics
from amodal.training.memory import bytes_per_pair


class Tower(nn.Module):
    """(B, 6) -> Tokens, by way of a wide layer and dropout."""

    def __init__(self, *, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        middle = [nn.BatchNorm1d(32)] if norm else []
        self.layers = nn.Sequential(nn.Linear(6, 32), *middle, nn.GELU(), nn.Dropout(dropout), nn.Linear(32, 5))

    def forward(self, pixels: Tensor) -> Tokens:
        pooled = self.layers(pixels)
        return Tokens(pooled[:, None], torch.ones(len(pooled), 1, dtype=torch.bool), pooled)


def model_of(**options: Any) -> DualEncoder:
    torch.manual_seed(1)
    return DualEncoder(Tower(**options), nn.Identity(), ProjectionHead(5, 4), ProjectionHead(5, 4)).double()


def batch_of(count: int = 22) -> Batch:
    draw = torch.Generator().manual_seed(0)
    pixels, said = (torch.randn(count, width, generator=draw, dtype=torch.float64) for width in (6, 5))
    text = Tokens(said[:, None], torch.ones(count, 1, dtype=torch.bool), said)
    return Batch(pair_id=torch.arange(count) // 2, key=tuple(map(str, range(count))), pixels=pixels, text=text)


def gradient_of(way: Any, model: nn.Module, task: nn.Module, batch: Batch) -> tuple[Any, dict[str, Tensor]]:
    model.train()
    torch.manual_seed(5)
    result = way(task, model, batch)
    named = [*model.named_parameters(), *task.named_parameters()]
    grads = {name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None}
    for _, parameter in named:
        parameter.grad = None
    return result, grads


@pytest.mark.parametrize("rows", [1, 4, 8, 22, 100])
def test_cached_is_the_gradient_of_the_whole_batch(rows: int) -> None:
    model, task, batch = model_of(), Contrastive().double(), batch_of()
    one, expected = gradient_of(plain, model, task, batch)
    two, found = gradient_of(Cached(rows), model, task, batch)
    assert len(expected) == 7  # tower, heads, scale
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)
    assert two.terms == pytest.approx(one.terms)
    torch.testing.assert_close(two.features["image"], one.features["image"])


def test_cached_replays_dropout() -> None:
    """The parts of both passes drop the same; the gradient is that of the features which the loss saw."""
    model, task, batch = model_of(dropout=0.5), Contrastive().double(), batch_of(24)
    result, found = gradient_of(Cached(8), model, task, batch)
    torch.manual_seed(5)
    pieces = [task.encode(model, part) for part in batch.parts(8)]  # the same draws, all activations kept
    joined = type(pieces[0])(*(torch.cat(same) for same in zip(*pieces, strict=True)))
    whole = task.score(joined, batch)
    whole.loss.backward()
    assert result.terms == pytest.approx(whole.terms)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-10, atol=1e-14)


def test_accumulated_is_the_mean_over_parts_and_not_the_whole() -> None:
    model, task, batch = model_of(), Contrastive().double(), batch_of()
    _, whole = gradient_of(plain, model, task, batch)
    result, found = gradient_of(Accumulated(8), model, task, batch)
    parts = [gradient_of(plain, model, task, part) for part in batch.parts(8)]
    for name in whole:
        mean = sum(grads[name] * len(part) / 22 for (_, grads), part in zip(parts, batch.parts(8), strict=True))
        torch.testing.assert_close(found[name], mean)
    assert max((found[name] - whole[name]).abs().max() for name in whole) > 1e-3
    assert result.count == 22
    assert result.terms["loss"] == pytest.approx(sum(r.terms["loss"] * r.count for r, _ in parts) / 22)
    assert len(result.features["image"]) == 22


def test_cached_keeps_the_activations_of_one_part() -> None:
    """What lives between forward and backward, asked of autograd: never more than a part's."""
    model, task, batch = model_of(), Contrastive().double(), batch_of(64)
    most = 0

    def note(tensor: Tensor) -> Tensor:
        nonlocal most
        if tensor.ndim == 2 and tensor.shape[1] == 32 and not isinstance(tensor, nn.Parameter):
            most = max(most, len(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        gradient_of(Cached(8), model, task, batch)
    assert most == 8


def test_batch_statistics_are_refused_by_name() -> None:
    model = model_of(norm=True)
    with pytest.raises(RecipeError, match=r"image_tower.layers.1 .*model.image.statistics: frozen"):
        refuse_batch_statistics(model.train())
    refuse_batch_statistics(model.eval())
    model.image_tower.requires_grad_(False)  # a frozen tower comes from the cache
    refuse_batch_statistics(model.train())


def test_a_queue_and_cached_parts_agree_with_one_pass() -> None:
    batch = batch_of()
    found = []
    for way in (plain, Cached(8)):
        model = model_of()
        task = Queued(model, InfoNCE(), queue=30, width=4, momentum=0.5).double()
        for _ in range(2):
            _, grads = gradient_of(way, model, task, batch)
            task.after_step(model)
        found.append(grads)
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-14)


def parameters(model: nn.Module) -> list[Tensor]:
    return [p for p in model.parameters() if p.requires_grad]


def test_bytes_of_a_pair_are_counted_and_the_model_is_left_as_it_was() -> None:
    model, task, batch = model_of(norm=True).train(), Contrastive().double(), batch_of()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    needed = bytes_per_pair(task, model, batch)
    assert 3 * 32 * 8 <= needed <= 6 * 32 * 8 + 40 * 8 * 3  # the wide layer's few vectors, and the narrow ones
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("way", "rows", "free", "expected"),
    [
        ("plain", 0, 0, plain),
        ("auto", 0, 1 << 30, plain),
        ("auto", 0, 30_000, None),
        ("auto", 4, 1 << 30, Cached(4)),
        ("cached", 0, 1 << 30, Cached(22)),
        ("accumulated", 5, 1 << 30, Accumulated(5)),
        ("accumulated", 7, 1 << 30, Accumulated(6)),  # and not three of seven and one that has no negatives
        ("cached", 21, 1 << 30, Cached(11)),
    ],
)
def test_the_way_follows_the_memory(
    way: Any, rows: int, free: int, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, task, batch = model_of(), Contrastive().double(), batch_of()
    monkeypatch.setattr("amodal.training.memory.free_memory", lambda device: free)
    found, why = choose_gradients(way, rows, task, model, batch, parameters(model))
    if expected is None:
        assert isinstance(found, Cached)
        assert 1 <= found.rows < 22
        needed = bytes_per_pair(task, model, batch)
        room = free - 3 * sum(p.numel() * 8 for p in parameters(model))
        assert found.rows * needed <= room / 2 < 2 * found.rows * needed  # the largest power of two that fits
        assert f"parts of {found.rows} of 22 pairs" in why
    else:
        assert found == expected


def test_too_large_a_batch_for_batch_statistics_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(norm=True).train()
    monkeypatch.setattr("amodal.training.memory.free_memory", lambda device: 30_000)
    with pytest.raises(RecipeError, match=r"training\.gradients: accumulated"):
        choose_gradients("auto", 0, Contrastive().double(), model, batch_of(), parameters(model))
