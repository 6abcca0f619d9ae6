"""Every objective beside InfoNCE against the whole matrix, with its gradient; by ranks against one process."""

import doctest
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import amodal.objectives.sigmoid
import amodal.objectives.tiles
import amodal.objectives.triplet
from amodal.objectives import (
    SigmoidLoss,
    Teacher,
    TripletLoss,
    decoupled_info_nce,
    doubting_info_nce,
    info_nce,
    sigmoid_loss,
    soft_info_nce,
    triplet_loss,
)

Loss = Callable[..., Tensor]
"""(image, text, scale, bias, ids) -> scalar."""
SHARED = [5, 1, 1, 9, 5, 5, 0, 2, 9, 7, 5]


def match(ids: Tensor | None, size: int) -> Tensor:
    pair = torch.arange(size) if ids is None else ids
    return pair[:, None] == pair


def whole_decoupled(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, ids: Tensor | None) -> Tensor:
    logit, same = scale.exp() * image @ text.T, match(ids, len(image))
    target = same / same.sum(1, keepdim=True)
    both = (x.masked_fill(same, -math.inf).logsumexp(1) - (target * x).sum(1) for x in (logit, logit.T))
    return torch.stack([x.mean() for x in both]).mean()


def whole_sigmoid(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, ids: Tensor | None) -> Tensor:
    sign = 2.0 * match(ids, len(image)) - 1
    return -F.logsigmoid(sign * (scale.exp() * image @ text.T + bias)).sum() / len(image)


def taught(size: int, dtype: torch.dtype) -> Teacher:
    draw = torch.Generator().manual_seed(7)
    image, text = (F.normalize(torch.randn(size, 3, generator=draw, dtype=torch.float64), dim=1) for _ in range(2))
    return Teacher(image.to(dtype), text.to(dtype), torch.tensor(2.0, dtype=dtype))


def shares(size: int) -> Tensor:
    return torch.linspace(0, 1, size, dtype=torch.float64)


def soft(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, ids: Tensor | None) -> Tensor:
    return soft_info_nce(image, text, scale, taught(len(image), torch.float64), ids, share=shares(len(image)))


def whole_soft(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, ids: Tensor | None) -> Tensor:
    same, share = match(ids, len(image)), shares(len(image))[:, None].to(image.dtype)
    teacher = taught(len(image), image.dtype)
    said, logit = teacher.logit_scale.exp() * teacher.image_BE @ teacher.text_BE.T, scale.exp() * image @ text.T
    even = same / same.sum(1, keepdim=True)
    both = (
        F.cross_entropy(x, (1 - share) * even + share * t.softmax(1)) for x, t in ((logit, said), (logit.T, said.T))
    )
    return torch.stack(list(both)).mean()


def whole_doubting(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, ids: Tensor | None) -> Tensor:
    same, logit = match(ids, len(image)), scale.exp() * image @ text.T
    count = same.sum(1, keepdim=True)
    both = (count[:, 0] * (x.log_softmax(1) * same / count).sum(1).exp() for x in (logit, logit.T))
    return torch.stack([2 * (1 - p.sqrt()) for p in both]).mean()


def triplet(negatives: Any) -> Loss:
    return lambda image, text, scale, bias, ids: triplet_loss(image, text, ids, margin=0.4, negatives=negatives)


def whole_triplet(negatives: str) -> Loss:
    def loss(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor, ids: Tensor | None) -> Tensor:
        cosine, same, hinges = image @ text.T, match(ids, len(image)), []
        for scores in (cosine, cosine.T):
            for row, own in enumerate(scores.diagonal()):
                others = scores[row][~same[row]]
                if not len(others):
                    hinges.append(own * 0)
                elif negatives == "all":
                    hinges.extend(value for value in 0.4 + others - own if value > 0)
                else:
                    below = others[others < own] if negatives == "semi-hard" else others
                    hinges.append((0.4 + (below.max() if len(below) else others.min()) - own).clamp(min=0))
        return torch.stack(hinges).mean() if hinges else cosine.sum() * 0

    return loss


FAMILY: dict[str, tuple[Loss, Loss]] = {
    "decoupled": (lambda image, text, scale, bias, ids: decoupled_info_nce(image, text, scale, ids), whole_decoupled),
    "sigmoid": (lambda image, text, scale, bias, ids: sigmoid_loss(image, text, scale, bias, ids), whole_sigmoid),
    "soft targets": (soft, whole_soft),
    "doubting": (lambda image, text, scale, bias, ids: doubting_info_nce(image, text, scale, ids), whole_doubting),
    "triplet, all": (triplet("all"), whole_triplet("all")),
    "triplet, semi-hard": (triplet("semi-hard"), whole_triplet("semi-hard")),
    "triplet, hardest": (triplet("hardest"), whole_triplet("hardest")),
}


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eleven pairs then take nine tiles, the last of them narrow."""
    monkeypatch.setattr(amodal.objectives.tiles, "TILE", 4)


def given(size: int, scale: float, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    draw = torch.Generator().manual_seed(size)
    image, text = (F.normalize(torch.randn(size, 5, generator=draw, dtype=torch.float64), dim=1) for _ in range(2))
    values = (image, text, torch.tensor(scale), torch.tensor(-3.0))
    return [value.to(dtype).requires_grad_() for value in values]


def gradients(loss: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [torch.zeros_like(x) if grad is None else grad for x, grad in zip(leaves, found, strict=True)]


def off(ours: list[Tensor], other: list[Tensor]) -> float:
    """The norm of the difference over the norm of the reference."""
    return max(((a - b).norm() / b.norm().clamp(min=1e-30)).item() for a, b in zip(ours, other, strict=True))


@pytest.mark.parametrize("scale", [0.0, math.log(1 / 0.07), math.log(100)])
@pytest.mark.parametrize("ids", [None, SHARED], ids=["each its own", "shared"])
@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.usefixtures("small_tiles")
def test_tiles_give_what_the_whole_matrix_gives(name: str, ids: list[int] | None, scale: float) -> None:
    ours, whole = FAMILY[name]
    pair_id = None if ids is None else torch.tensor(ids)
    leaves = given(11, scale)
    loss, expected = ours(*leaves, pair_id), whole(*leaves, pair_id)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    assert expected.item() != 0
    assert off(gradients(loss, leaves), gradients(expected, leaves)) < 1e-12
    single = given(11, scale, torch.float32)
    doubles = [x.detach().double().requires_grad_() for x in single]
    exact = gradients(whole(*doubles, pair_id), doubles)
    assert off(gradients(ours(*single, pair_id), single), exact) < 1e-5


@pytest.mark.parametrize("name", FAMILY)
def test_the_scale_of_positives_alone(name: str) -> None:
    """One pair, and a batch that is all one group: no negative."""
    ours, whole = FAMILY[name]
    for size, ids in ((1, None), (3, torch.tensor([4, 4, 4]))):
        leaves = given(size, 1.0)
        if name == "decoupled":
            with pytest.raises(ValueError, match="needs a negative"):
                ours(*leaves, ids)
            continue
        loss, expected = ours(*leaves, ids), whole(*leaves, ids)
        torch.testing.assert_close(loss, expected)
        for one, other in zip(gradients(loss, leaves), gradients(expected, leaves), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", FAMILY)
def test_no_matrix_of_all_pairs_is_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amodal.objectives.tiles, "TILE", 64)

    class Largest(TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, list | tuple) else [out]:
                if isinstance(tensor, Tensor):
                    self.numel = max(self.numel, tensor.numel())
            return out

    with Largest() as largest:
        FAMILY[name][0](*given(512, 2.0), torch.arange(512) // 2).backward()
    assert largest.numel <= 64 * 64


@pytest.mark.parametrize("name", FAMILY)
def test_half_precision_is_computed_in_float32(name: str) -> None:
    leaves = given(11, 2.0, torch.bfloat16)
    wide = [x.detach().float() for x in leaves]
    loss = FAMILY[name][0](*leaves, None)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, FAMILY[name][0](*wide, None))


@pytest.mark.parametrize("name", FAMILY)
def test_different_shapes_are_refused(name: str) -> None:
    image, text, scale, bias = given(4, 1.0)
    with pytest.raises(ValueError, match="differ in shape"):
        FAMILY[name][0](image, text[:3], scale, bias, None)


def test_soft_targets_lie_between_the_pairing_and_the_teacher() -> None:
    image, text, scale, _ = given(6, 1.0)
    teacher = taught(6, torch.float64)
    none = soft_info_nce(image, text, scale, teacher, share=0.0)
    torch.testing.assert_close(none, info_nce(image, text, scale))
    itself = Teacher(image, text, scale)
    pulls = torch.autograd.grad(soft_info_nce(image, text, scale, itself, share=1.0), (image, text, scale))
    assert max(pull.abs().max().item() for pull in pulls) < 1e-12  # it says already what its teacher says
    with pytest.raises(ValueError, match="between 0 and 1"):
        soft_info_nce(image, text, scale, teacher, share=1.5)


def test_doubt_lets_a_pair_count_by_its_probability() -> None:
    """The gradient by each logit is InfoNCE's, weighted by p^doubt: no multiple of InfoNCE's as a whole."""
    image, text, scale, _ = given(6, 1.0)
    logit = (scale.exp() * image @ text.T).detach()
    rows, columns, one = logit.softmax(1), logit.softmax(0), torch.eye(6, dtype=logit.dtype)
    pull = rows.diagonal()[:, None] ** 0.7 * (rows - one) + columns.diagonal()[None, :] ** 0.7 * (columns - one)
    found = torch.autograd.grad(doubting_info_nce(image, text, scale, doubt=0.7), (image, text))
    torch.testing.assert_close(found[0], scale.exp() * pull @ text / 12)
    torch.testing.assert_close(found[1], scale.exp() * pull.T @ image / 12)
    torch.testing.assert_close(doubting_info_nce(image, text, scale, doubt=0.0), info_nce(image, text, scale))


def test_semi_hard_leaves_out_what_is_nearer_than_the_own() -> None:
    """By hand: own 0.8; negatives 0.9 (too near), 0.7 (semi-hard), 0.1."""
    image = torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 1]])
    text = torch.tensor([[0.8, 0.6], [0.9, 0.44], [0.7, 0.71], [0.1, 0.99]])
    ids = torch.tensor([0, 1, 1, 1])
    image.requires_grad_()
    semi_hard, hardest = (
        torch.autograd.grad(triplet_loss(image, text, ids, negatives=kind), image)[0]
        for kind in ("semi-hard", "hardest")
    )
    torch.testing.assert_close((semi_hard - hardest)[0], (text[2] - text[1]) / 8)  # 8 anchors; all else is the same


def test_modules_own_what_is_learnt() -> None:
    image, text, *_ = given(4, 0.0, torch.float32)
    objective = SigmoidLoss()
    assert [objective.logit_scale.exp().item(), objective.logit_bias.item()] == pytest.approx([10.0, -10.0])
    objective(image, text).backward()
    assert objective.logit_scale.grad is not None
    assert objective.logit_bias.grad is not None
    objective.logit_scale.data.fill_(-1.0)
    objective.clamp()
    assert objective.logit_scale.item() == 0
    assert not list(TripletLoss().parameters())


def test_doctests() -> None:
    for module in (amodal.objectives.sigmoid, amodal.objectives.triplet):
        found = doctest.testmod(module)
        assert found.attempted > 0
        assert found.failed == 0


def by_ranks(start_ranks: Callable[..., Any], count: int, out: Path) -> dict[str, dict[str, Tensor]]:
    """Loss name -> value and gradients, of `count` gloo processes with a share of 24 pairs each."""
    started = start_ranks(count, out, program=(str(Path(__file__).with_name("sharded.py")),))
    said = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0] * count, said
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(out).items():
        name, _, part = key.partition("|")
        found.setdefault(name, {})[part] = value
    return found


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_ranks_give_what_one_process_gives(start_ranks: Callable[..., Any], count: int, tmp_path: Path) -> None:
    several, one = by_ranks(start_ranks, count, tmp_path / "several"), by_ranks(start_ranks, 1, tmp_path / "one")
    assert len(one) == 16
    for name, parts in one.items():
        for part, value in parts.items():
            torch.testing.assert_close(several[name][part], value, rtol=1e-5, atol=1e-7, msg=f"{name} {part}")
