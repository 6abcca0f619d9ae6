"""Who decays, and the rate by hand."""

import math

import pytest
import torch
from torch import nn

from amodal.objectives import InfoNCE
from amodal.towers import TextTransformer
from amodal.training import build_optimizer, parameter_groups, warmup_cosine


def test_norms_biases_and_the_scale_do_not_decay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2), nn.LayerNorm(2))
    objective = InfoNCE()
    decayed, plain = parameter_groups([network, objective], 0.1)
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    named = {id(p): name for name, p in [*network.named_parameters(), *objective.named_parameters()]}
    assert {named[id(p)] for p in decayed["params"]} == {"0.weight", "2.weight"}
    assert len(plain["params"]) == len(named) - 2
    assert any(p is objective.logit_scale for p in plain["params"])


def test_a_tower_is_divided_without_remainder() -> None:
    tower = TextTransformer(vocabulary=9, width=8, depth=1, heads=2, context_length=4)
    groups = parameter_groups([tower], 0.1)
    assert sum(len(group["params"]) for group in groups) == len(list(tower.parameters()))
    assert not any(p is tower.norm.weight or p is tower.norm.bias for p in groups[0]["params"])


def test_frozen_parameters_are_left_out() -> None:
    frozen, free = nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2, bias=False)
    groups = parameter_groups([frozen, free], 0.1)
    assert [group["params"] for group in groups] == [[free.weight]]
    with pytest.raises(ValueError, match="nothing is trainable"):
        build_optimizer([frozen], learning_rate=1e-3, weight_decay=0.1, betas=(0.9, 0.98))


def test_only_matrices_shrink_without_a_gradient() -> None:
    layer = nn.Linear(2, 2)
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    optimizer = build_optimizer([layer], learning_rate=0.5, weight_decay=0.1, betas=(0.9, 0.98))
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), before["weight"] * (1 - 0.5 * 0.1))
    assert torch.equal(layer.bias, before["bias"])


@pytest.mark.parametrize("fault", ["none", "gradient", "moments"])
def test_channels_last_kernels_learn_as_plain_ones(fault: str) -> None:
    """However gradient and moments lie in memory, the steps are those of PyTorch's plain AdamW."""
    kernel, grads = torch.randn(4, 3, 3, 3), torch.randn(3, 4, 3, 3, 3)
    plain = nn.Parameter(kernel.clone())
    layer = nn.Conv2d(3, 4, 3, bias=False)
    layer.weight = nn.Parameter(kernel.to(memory_format=torch.channels_last))
    reference = torch.optim.AdamW([plain], lr=0.1, betas=(0.9, 0.98), weight_decay=0.1, fused=False)
    optimizer = build_optimizer([layer], learning_rate=0.1, weight_decay=0.1, betas=(0.9, 0.98))
    for grad in grads:
        plain.grad = grad.clone()
        layer.weight.grad = grad.clone() if fault == "gradient" else torch.empty_like(layer.weight).copy_(grad)
        reference.step()
        optimizer.step()
        if fault == "moments":
            for name in ("exp_avg", "exp_avg_sq"):
                optimizer.state[layer.weight][name] = optimizer.state[layer.weight][name].contiguous()
    torch.testing.assert_close(layer.weight.detach(), plain.detach())
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)


def rates(warmup: int, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule, seen = warmup_cosine(optimizer, warmup=warmup, steps=steps), []
    for _ in range(steps + 2):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_warm_up_and_cosine_by_hand() -> None:
    expected = [0.5, 1.0, 1.5, 2.0, 2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5), 0.0, 0.0]
    assert rates(warmup=4, steps=8) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("warmup", "steps"), [(1, 1), (1, 50), (10, 10), (20, 10), (7, 50)])
def test_the_rate_rises_then_falls_and_stays_within_its_limits(warmup: int, steps: int) -> None:
    seen = rates(warmup, steps)
    top = min(warmup, len(seen)) - 1
    assert seen[:top] == sorted(seen[:top])
    assert seen[warmup:] == sorted(seen[warmup:], reverse=True)
    assert all(0 <= rate <= 2.0 for rate in seen)
    assert seen[0] > 0
    if warmup < steps:
        assert max(seen) == pytest.approx(2.0)
        assert seen[steps] == pytest.approx(0.0)


@pytest.mark.parametrize("done", [1, 3, 4, 7, 12])
def test_a_schedule_goes_on_where_it_stood(done: int) -> None:
    layer = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([layer], lr=2.0)
    schedule = warmup_cosine(optimizer, warmup=4, steps=20, done=done)
    seen = []
    for _ in range(20 - done):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert seen == rates(warmup=4, steps=20)[done:20]
