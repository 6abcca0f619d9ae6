"""InfoNCE and the triplet losses with mined negatives: against the whole matrix with their gradients, and who is left
out."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import amodal.objectives.tiles
from amodal.core.ranks import Ranks
from amodal.objectives import InfoNCE, Mined, TripletLoss, decoupled_info_nce, info_nce, triplet_loss
from amodal.objectives.infonce import _tiled

SHARED = [5, 1, 1, 9, 5, 5, 0, 2, 9, 7, 5]
ALONE = list(range(11))
NONE = -1


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eleven pairs then take nine tiles."""
    monkeypatch.setattr(amodal.objectives.tiles, "TILE", 4)


def given(ids: list[int]) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Leaves (image, text, mined texts, mined images, scale), ids, and ids of the mined: some none, some the own."""
    draw = torch.Generator().manual_seed(3)
    size, kept = len(ids), 3
    shapes = ((size, 5), (size, 5), (size, kept, 5), (size, kept, 5))
    leaves = [F.normalize(torch.randn(*shape, generator=draw, dtype=torch.float64), dim=-1) for shape in shapes]
    text_id, image_id = (torch.randint(20, 30, (size, kept), generator=draw) for _ in range(2))
    text_id[0], image_id[3, 1] = NONE, NONE
    text_id[2, 0], image_id[4, 2] = ids[2], ids[4]
    scale = torch.tensor(math.log(1 / 0.07), dtype=torch.float64)
    return [x.requires_grad_() for x in (*leaves, scale)], torch.tensor(ids), text_id, image_id


def matrices(leaves: list[Tensor], ids: Tensor, text_id: Tensor, image_id: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For both directions the cosines of every anchor with all of the batch and its own mined, and the positives."""
    image, text, mined_text, mined_image = leaves[:4]
    both = []
    for anchor, other, mined, mined_id in ((image, text, mined_text, text_id), (text, image, mined_image, image_id)):
        extra = torch.stack([anchor[row] @ mined[row].T for row in range(len(ids))])
        left_out = (mined_id == NONE) | (mined_id == ids[:, None])
        same = ids[:, None] == ids
        whole = torch.cat([anchor @ other.T, extra.masked_fill(left_out, -math.inf)], dim=1)
        both.append((whole, torch.cat([same, torch.zeros_like(left_out)], dim=1)))
    return both


def whole_info_nce(both: Any, scale: Tensor, smoothing: float, decoupled: bool) -> Tensor:
    losses = []
    for cosine, same in both:
        size, gone = len(cosine), cosine == -math.inf
        logit = (scale.exp() * cosine.masked_fill(gone, 0)).masked_fill(
            gone, -math.inf
        )  # -inf times scale has no slope
        target = (1 - smoothing) * same.to(cosine.dtype) / same.sum(1, keepdim=True)
        target[:, :size] += smoothing / size
        below = logit.masked_fill(same, -math.inf) if decoupled else logit
        right = (target * logit.masked_fill(gone, 0)).sum(1)
        losses.append((below.logsumexp(1) - right).mean())
    return torch.stack(losses).mean()


def whole_triplet(both: Any, margin: float, negatives: str) -> Tensor:
    hinges = []
    for cosine, same in both:
        for row, own in enumerate(cosine.diagonal()):
            others = cosine[row][~same[row]]
            others = others[others > -math.inf]
            below = others[others < own] if negatives == "semi-hard" else others
            hinges.append((margin + (below.max() if len(below) else others.min()) - own).clamp(min=0))
    return torch.stack(hinges).mean()


def agree(ours: Tensor, whole: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(ours, whole, rtol=1e-12, atol=1e-12)
    found, wanted = (
        [torch.zeros_like(x) if grad is None else grad for x, grad in zip(leaves, each, strict=True)]
        for each in (torch.autograd.grad(loss, leaves, allow_unused=True) for loss in (ours, whole))
    )
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("ids", [ALONE, SHARED], ids=["each its own", "shared"])
@pytest.mark.parametrize(("smoothing", "decoupled"), [(0.0, False), (0.1, False), (0.0, True)])
@pytest.mark.parametrize("scale", [0.0, math.log(1 / 0.07), math.log(100)])
def test_info_nce_is_that_of_the_whole_matrix(ids: list[int], smoothing: float, decoupled: bool, scale: float) -> None:
    leaves, pair_id, text_id, image_id = given(ids)
    with torch.no_grad():
        leaves[4].fill_(scale)
    image, text, mined_text, mined_image, logit_scale = leaves
    mined = Mined(mined_text, text_id, mined_image, image_id)
    ours = InfoNCE(label_smoothing=smoothing, decoupled=decoupled).double()
    ours.logit_scale = torch.nn.Parameter(logit_scale.detach().clone())
    loss = _tiled(image, text, logit_scale, pair_id, Ranks(), smoothing, decoupled, mined)
    torch.testing.assert_close(ours(image, text, pair_id, mined=mined), loss)
    agree(loss, whole_info_nce(matrices(leaves, pair_id, text_id, image_id), logit_scale, smoothing, decoupled), leaves)


@pytest.mark.parametrize("ids", [ALONE, SHARED], ids=["each its own", "shared"])
@pytest.mark.parametrize("negatives", ["hardest", "semi-hard"])
def test_triplet_is_that_of_the_whole_matrix(ids: list[int], negatives: Any) -> None:
    leaves, pair_id, text_id, image_id = given(ids)
    image, text, mined_text, mined_image, _ = leaves
    mined = Mined(mined_text, text_id, mined_image, image_id)
    ours = triplet_loss(image, text, pair_id, margin=0.4, negatives=negatives, mined=mined)
    torch.testing.assert_close(TripletLoss(0.4, negatives)(image, text, pair_id, mined=mined), ours)
    whole = whole_triplet(matrices(leaves, pair_id, text_id, image_id), 0.4, negatives)
    agree(ours, whole, leaves)
    assert abs(ours.item() - triplet_loss(image, text, pair_id, margin=0.4, negatives=negatives).item()) > 1e-3


@pytest.mark.parametrize("loss", [info_nce, triplet_loss])
def test_what_is_none_or_of_the_pair_itself_costs_nothing(loss: Any) -> None:
    leaves, pair_id, text_id, image_id = given(SHARED)
    image, text, mined_text, mined_image, scale = leaves
    where = (image, text, scale, pair_id) if loss is info_nce else (image, text, pair_id)
    own = pair_id[:, None].expand_as(text_id)
    none = torch.full_like(text_id, NONE)
    for ids in (own, none):
        alone = Mined(mined_text, ids, mined_image, ids)
        torch.testing.assert_close(loss(*where, mined=alone), loss(*where), rtol=1e-12, atol=1e-12)
    assert loss(*where, mined=Mined(mined_text, text_id, mined_image, image_id)) > loss(*where)


def test_what_mined_negatives_cannot_go_with_is_refused() -> None:
    leaves, pair_id, text_id, image_id = given(ALONE)
    image, text, mined_text, mined_image, scale = leaves
    mined = Mined(mined_text, text_id, mined_image, image_id)
    with pytest.raises(ValueError, match="need the pair_id"):
        info_nce(image, text, scale, mined=mined)
    two = Ranks()
    two.count = 2
    with pytest.raises(ValueError, match="one process"):
        triplet_loss(image, text, pair_id, mined=mined, ranks=two)
    with pytest.raises(ValueError, match="not for all"):
        triplet_loss(image, text, pair_id, negatives="all", mined=mined)
    assert decoupled_info_nce(image, text, scale, pair_id).isfinite()
