"""InfoNCE against a plain full-matrix version, its gradient included; its limits; its learnt scale."""

import doctest
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import amodal.objectives.infonce
import amodal.objectives.tiles
from amodal.objectives.infonce import LARGEST_SCALE, InfoNCE, info_nce, mutual_information_bound

SCALE = math.log(10.0)


def plain(image_BD: Tensor, text_BD: Tensor, logit_scale: Tensor, pair_id: Tensor) -> Tensor:
    """The definition, a pair and a direction at a time."""
    score_BB = torch.exp(logit_scale) * (image_BD @ text_BD.T)
    total = torch.zeros((), dtype=score_BB.dtype)
    for scores in (score_BB, score_BB.T):
        for row in range(len(scores)):
            positives = [column for column in range(len(scores)) if pair_id[column] == pair_id[row]]
            everything = torch.log(torch.exp(scores[row]).sum())
            total = total - torch.stack([scores[row, column] - everything for column in positives]).mean()
    return total / (2 * len(score_BB))


def inputs(pairs: int, width: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(pairs)
    image, text = (torch.randn(pairs, width, generator=draw, dtype=torch.float64) for _ in range(2))
    scale = torch.tensor(SCALE, dtype=torch.float64)
    return image.requires_grad_(), text.requires_grad_(), scale.requires_grad_()


@pytest.mark.parametrize("pair_id", [[0, 1, 2, 3, 4, 5], [7, 7, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1]])
def test_equals_the_plain_version_with_its_gradient(pair_id: list[int]) -> None:
    image, text, scale = inputs(6)
    ids = torch.tensor(pair_id)
    ours = info_nce(F.normalize(image, dim=1), F.normalize(text, dim=1), scale, ids)
    other = plain(F.normalize(image, dim=1), F.normalize(text, dim=1), scale, ids)
    torch.testing.assert_close(ours, other)
    ours_grad = torch.autograd.grad(ours, (image, text, scale))
    other_grad = torch.autograd.grad(other, (image, text, scale))
    torch.testing.assert_close(ours_grad, other_grad)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eleven pairs then take nine tiles, the last of them narrow."""
    monkeypatch.setattr(amodal.objectives.tiles, "TILE", 4)


IDS = {
    "each its own": None,
    "shared": [5, 1, 1, 9, 5, 5, 0, 2, 9, 7, 5],
    "all the same": [3] * 11,
}


def full(image_BD: Tensor, text_BD: Tensor, scale: Tensor, ids: Tensor | None, smoothing: float = 0.0) -> Tensor:
    """The whole matrix at once, by PyTorch's own cross entropy."""
    pair = torch.arange(len(image_BD)) if ids is None else ids
    match_BB = (pair[:, None] == pair).to(image_BD.dtype)
    target_BB, score_BB = match_BB / match_BB.sum(1, keepdim=True), scale.exp() * image_BD @ text_BD.T
    both = (F.cross_entropy(score, target_BB, label_smoothing=smoothing) for score in (score_BB, score_BB.T))
    return sum(both, torch.zeros(())) / 2


def leaves(dtype: torch.dtype, image: Tensor, text: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    image, text, scale = (x.detach().to(dtype).requires_grad_() for x in (image, text, scale))
    return image, text, scale


def off(ours: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> float:
    """The norm of the difference over the norm of the reference."""
    return max(((a - b).norm() / b.norm()).item() for a, b in zip(ours, other, strict=True))


@pytest.mark.parametrize("logit_scale", [0.0, math.log(1 / 0.07), LARGEST_SCALE])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
@pytest.mark.usefixtures("small_tiles")
def test_tiles_give_what_the_whole_matrix_gives(ids: list[int] | None, smoothing: float, logit_scale: float) -> None:
    image, text, _ = inputs(11)
    scale = torch.tensor(logit_scale, dtype=torch.float64, requires_grad=True)
    pair_id = None if ids is None else torch.tensor(ids)
    unit = (F.normalize(image, dim=1), F.normalize(text, dim=1))
    expected = full(*unit, scale, pair_id, smoothing)
    expected_grad = torch.autograd.grad(expected, (image, text, scale), retain_graph=True)
    ours = info_nce(*unit, scale, pair_id, label_smoothing=smoothing)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    assert off(torch.autograd.grad(ours, (image, text, scale)), expected_grad) < 1e-12
    single = leaves(torch.float32, *unit, scale)
    loss = info_nce(*single, pair_id, label_smoothing=smoothing)
    doubles = leaves(torch.float64, *single)
    exact = torch.autograd.grad(full(*doubles, pair_id, smoothing), doubles)
    assert off(torch.autograd.grad(loss, single), exact) < 1e-5


@pytest.mark.usefixtures("small_tiles")
def test_a_row_far_below_the_others_keeps_its_digits() -> None:
    """At the largest scale e^logit of the lowest row and the highest have no room in one float32."""
    image = F.normalize(torch.tensor([[1.0, 0.0]] * 6 + [[-1.0, 0.02]]), dim=1)
    text = F.normalize(torch.tensor([[1.0, 0.1 * number] for number in range(7)]), dim=1)
    given = leaves(torch.float32, image, text, torch.tensor(LARGEST_SCALE))
    doubles = leaves(torch.float64, *given)
    ours, expected = info_nce(*given), full(*doubles, None)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), expected, rtol=1e-6, atol=0)
    assert off(torch.autograd.grad(ours, given), torch.autograd.grad(expected, doubles)) < 1e-5


def test_logits_that_no_number_holds_are_refused() -> None:
    image = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    with pytest.raises(ValueError, match="logits reach 2981: features must be of unit length"):
        info_nce(image, image[:1].expand(2, 2), torch.tensor(8.0))


def test_what_is_not_a_number_stays_so() -> None:
    for bad in (math.nan, math.inf):
        image = torch.tensor([[1.0, 0.0], [0.0, bad]])
        assert not info_nce(image, image, torch.tensor(1.0)).isfinite()


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation gives."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, list | tuple) else [out]:
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.untyped_storage().size() // tensor.element_size())
        return out


@pytest.mark.parametrize("repeated", [False, True])
def test_no_matrix_of_all_pairs_is_made(repeated: bool) -> None:
    pairs, width = 4096, 8
    draw = torch.Generator().manual_seed(0)
    image, text = (F.normalize(torch.randn(pairs, width, generator=draw), dim=1).requires_grad_() for _ in range(2))
    ids = torch.arange(pairs) // 2 if repeated else None
    with Largest() as largest:
        info_nce(image, text, torch.tensor(2.0, requires_grad=True), ids).backward()
    assert pairs * width <= largest.numel <= amodal.objectives.tiles.TILE**2


def test_half_precision_is_computed_in_float32() -> None:
    image, text = (F.normalize(x.detach(), dim=1).bfloat16().requires_grad_() for x in inputs(11)[:2])
    loss = info_nce(image, text, torch.tensor(2.0))
    torch.testing.assert_close(loss, full(image.float(), text.float(), torch.tensor(2.0), None))
    loss.backward()
    assert image.grad is not None
    assert image.grad.dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = info_nce(image.detach().float(), text.detach().float(), torch.tensor(2.0))
    torch.testing.assert_close(again, loss.detach())


def test_gradient_is_that_of_finite_differences() -> None:
    image, text, scale = inputs(4)
    ids = torch.tensor([0, 1, 1, 2])
    assert torch.autograd.gradcheck(lambda i, t, s: info_nce(i, t, s, ids), (image, text, scale))


def test_without_ids_every_pair_is_its_own() -> None:
    image, text, scale = inputs(5)
    torch.testing.assert_close(info_nce(image, text, scale), info_nce(image, text, scale, torch.arange(5)))


def test_order_of_pairs_does_not_matter() -> None:
    image, text, scale = inputs(6)
    ids, order = torch.tensor([0, 1, 1, 2, 3, 3]), torch.tensor([4, 0, 5, 2, 1, 3])
    torch.testing.assert_close(
        info_nce(image, text, scale, ids), info_nce(image[order], text[order], scale, ids[order])
    )


def test_sides_are_exchangeable() -> None:
    image, text, scale = inputs(6)
    ids = torch.tensor([0, 1, 1, 2, 3, 3])
    torch.testing.assert_close(info_nce(image, text, scale, ids), info_nce(text, image, scale, ids))


def test_one_pair_costs_nothing() -> None:
    image, text, scale = inputs(1)
    for ids in (None, torch.tensor([3])):
        loss = info_nce(image, text, scale, ids)
        assert loss.item() == 0
        assert all(not grad.any() for grad in torch.autograd.grad(loss, (image, text)))


def test_constant_features_cost_the_logarithm_of_the_batch() -> None:
    same = torch.ones(8, 4) / 2
    assert info_nce(same, same, torch.tensor(SCALE)).item() == pytest.approx(math.log(8))
    ids = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    assert info_nce(same, same, torch.tensor(SCALE), ids).item() == pytest.approx(math.log(8))


def test_perfect_features_cost_next_to_nothing() -> None:
    x = torch.eye(8)
    assert info_nce(x, x, torch.tensor(LARGEST_SCALE)).item() < 1e-6


def test_shared_positives_are_no_negatives() -> None:
    text = torch.eye(3)
    picture = F.normalize(torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]), dim=1).requires_grad_()

    def pull_of_other_caption(pair_id: Tensor | None) -> float:
        return -torch.autograd.grad(info_nce(picture, text, torch.tensor(1.0), pair_id), picture)[0][0, 1].item()

    assert pull_of_other_caption(None) < 0  # the other caption of the same thing is pushed away
    assert pull_of_other_caption(torch.tensor([0, 0, 1])) > 0


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        info_nce(torch.eye(3), torch.eye(4), torch.tensor(0.0))


def test_module_learns_its_scale_within_limits() -> None:
    objective = InfoNCE()
    assert objective.logit_scale.exp().item() == pytest.approx(1 / 0.07)
    image, text, _ = inputs(4)
    x, y = F.normalize(image, dim=1).float(), F.normalize(text, dim=1).float()
    objective(x, y).backward()
    assert objective.logit_scale.grad is not None
    assert objective.logit_scale.grad.item() != 0
    for value, kept in ((9.0, LARGEST_SCALE), (-2.0, 0.0), (0.0, 0.0), (1.5, 1.5)):
        objective.logit_scale.data.fill_(value)
        objective.clamp()
        assert objective.logit_scale.item() == pytest.approx(kept)
    assert objective.logit_scale.requires_grad
    assert InfoNCE(initial_scale=0.0).logit_scale.item() == 0


def test_information_bound() -> None:
    assert mutual_information_bound(math.log(8), 8) == 0
    assert mutual_information_bound(0.0, 8) == pytest.approx(math.log(8))


def test_information_bound_stays_below_the_truth() -> None:
    """Two Gaussians of correlation 0.8 share -ln(1 - 0.64) / 2 nats; the ideal score tells them apart best."""
    draw, rho, pairs = torch.Generator().manual_seed(0), 0.8, 16
    bounds = []
    for _ in range(400):
        x = torch.randn(pairs, generator=draw, dtype=torch.float64)
        y = rho * x + math.sqrt(1 - rho**2) * torch.randn(pairs, generator=draw, dtype=torch.float64)
        # log p(y|x) / p(y) as a dot product, up to a constant that the softmax of neither direction sees
        spread = 2 * (1 - rho**2)
        x_features = torch.stack([-(rho**2) * x**2, torch.ones_like(x), 2 * rho * x], dim=1) / spread
        y_features = torch.stack([torch.ones_like(y), -(rho**2) * y**2, y], dim=1)
        bounds.append(mutual_information_bound(info_nce(x_features, y_features, torch.tensor(0.0)).item(), pairs))
    truth = -math.log(1 - rho**2) / 2
    assert 0.8 * truth < sum(bounds) / len(bounds) < truth


def test_doctest() -> None:
    found = doctest.testmod(amodal.objectives.infonce)
    assert found.attempted > 0
    assert found.failed == 0
