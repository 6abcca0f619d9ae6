"""Where what is not finite began: the rows and the module are named."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, StepResult, Tokens
from amodal.runs import Finding
from amodal.training.not_finite import broken_features, broken_inputs, first_broken_module, not_finite


def some_batch(count: int = 16, **fields: Any) -> Batch:
    return Batch(pair_id=torch.arange(count), key=tuple(f"t.csv:{number}" for number in range(count)), **fields)


def found(batch: Batch, result: StepResult, norm: float, *, alone: bool = True) -> Finding | None:
    """What is found by a model whose outputs are finite."""
    return not_finite(3, batch, result, norm, model=nn.Identity(), again=lambda: None, alone=alone)


def test_rows_that_are_not_finite() -> None:
    bad_pixels = torch.ones(4, 3, 2, 2)
    bad_pixels[2, 0, 0, 0] = torch.nan
    result = StepResult(loss=torch.tensor(torch.nan), terms={"loss": math.nan}, count=4)
    everything = {"image": torch.full((4, 2), torch.nan), "text": torch.ones(4, 2)}
    assert broken_inputs(some_batch(4, pixels=bad_pixels)) == [2]
    shared = some_batch(4, pixels=bad_pixels, picture=torch.tensor([2, 0, 2, 1]))
    assert broken_inputs(shared) == [0, 2]
    said = found(some_batch(4, pixels=bad_pixels), replace(result, features=everything), math.nan)
    assert said is not None
    assert "inputs of 1 of 4 rows are not: t.csv:2;" in said.says
    one = {"image": torch.ones(4, 2), "text": torch.tensor([[1.0, 1], [1, torch.inf], [1, 1], [1, 1]])}
    assert broken_features(replace(result, features=one)) == [1]
    said = found(some_batch(4), replace(result, features=one), math.nan)
    assert said is not None
    assert "features of 1 of 4 rows are not: t.csv:1; look at these rows" in said.says
    weights = some_batch(4, pixels=torch.ones(4, 3, 2, 2))
    said = found(weights, replace(result, features=everything), math.nan, alone=False)
    assert said is not None
    assert "no row of this process stands out: see what another one names" in said.says
    assert found(weights, replace(result, terms={"loss": 1.0}), 2.0) is None
    assert found(weights, replace(result, terms={"loss": 1.0}), math.inf) is not None


class Overflows(nn.Module):
    """Gives what a tower gives, a named tuple, of which one part is more than a number holds."""

    def forward(self, x: Tensor) -> Tokens:
        return Tokens(x, torch.ones(2, 1, dtype=torch.bool), (x * 1e38).square())


def test_the_first_module_that_is_not_finite_is_named() -> None:
    x = torch.ones(2, 3)
    inside = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Identity(), Overflows()))
    assert first_broken_module(inside, lambda: inside(x)) == "1.1"
    alone, sound = Overflows(), nn.Linear(3, 3)
    assert first_broken_module(alone, lambda: alone(x)) == "Overflows"
    assert first_broken_module(sound, lambda: sound(x)) == ""
    assert not any(part._forward_hooks for part in inside.modules())
