"""Solved heads: kernel ridge regression against its textbook form, whitening, and both kinds of heads side by side."""

import pytest
import torch
import torch.nn.functional as F

from amodal.models import KernelRegression, ProjectionHead, TrainedAndSolved, WordSpace
from amodal.models.regression import LARGEST, STEPS

DRAW = torch.Generator().manual_seed(0)
ROWS_NF = torch.randn(60, 9, generator=DRAW)
TARGET_NE = F.normalize(torch.randn(60, 5, generator=DRAW), dim=-1)


def solved(anchors: int, rows_NF: torch.Tensor = ROWS_NF, target_NE: torch.Tensor = TARGET_NE) -> KernelRegression:
    head = KernelRegression(9, 5, anchors=anchors)
    head.fit_inputs(ROWS_NF)
    head.solve(rows_NF, target_NE, torch.Generator().manual_seed(1))
    return head


def test_equals_kernel_ridge_regression() -> None:
    x = ROWS_NF.sign() * ROWS_NF.abs().sqrt()
    x = ((x - x.mean(0)) / x.std(0)).double()
    anchor = ((x.clamp(-LARGEST, LARGEST) * STEPS).round() / STEPS).double()
    kernel = 1 / (1 + torch.cdist(anchor, anchor) ** 2 / (2 * 9))
    weight = torch.linalg.inv(kernel + 0.1 * torch.eye(60)) @ TARGET_NE.double()
    seen = 1 / (1 + torch.cdist(x.clamp(-LARGEST, LARGEST), anchor) ** 2 / (2 * 9))
    torch.testing.assert_close(solved(60)(ROWS_NF).double(), F.normalize(seen @ weight, dim=-1), rtol=0, atol=1e-5)


def test_room_for_more_anchors_changes_nothing() -> None:
    exact, roomy = solved(60), solved(90)
    torch.testing.assert_close(roomy(ROWS_NF), exact(ROWS_NF))
    assert roomy.weight_AE[60:].abs().max() == 0
    roomy.solve(ROWS_NF[:10], TARGET_NE[:10], torch.Generator())
    assert roomy.weight_AE[10:].abs().max() == 0  # nothing stays of what was solved before


def test_fewer_anchors_than_rows_still_use_every_row() -> None:
    rows, target = ROWS_NF.repeat(40, 1), TARGET_NE.repeat(40, 1)
    rows = rows + 0.3 * torch.randn(rows.shape, generator=torch.Generator().manual_seed(2))
    few = solved(64, rows, target)
    alone = solved(64, rows[:64], target[:64])
    said, said_alone = ((head(ROWS_NF) * TARGET_NE).sum(1).mean().item() for head in (few, alone))
    assert said > said_alone + 0.05
    again = solved(64, rows, target)
    assert torch.equal(few.weight_AE, again.weight_AE)


def test_a_loaded_state_says_the_same() -> None:
    head, other = solved(60), KernelRegression(9, 5, anchors=60)
    other.load_state_dict(head.state_dict())
    assert torch.equal(other(ROWS_NF), head(ROWS_NF))
    assert head.state_dict().keys() == {"anchor_AF", "weight_AE", "inputs.mean", "inputs.std"}


def test_equal_rows_do_no_harm() -> None:
    for anchors in (120, 100):
        head = solved(anchors, ROWS_NF.repeat(2, 1), TARGET_NE.repeat(2, 1))
        assert head(ROWS_NF).isfinite().all()
        assert (head(ROWS_NF) * TARGET_NE).sum(1).mean() > 0.8


def test_pictures_never_seen_are_brought_near_their_words() -> None:
    """Words that depend on the picture by a smooth map are found for pictures that were not given."""
    draw = torch.Generator().manual_seed(3)
    rows, mix = torch.randn(800, 9, generator=draw), torch.randn(9, 5, generator=draw)
    words = F.normalize(torch.tanh(rows @ mix), dim=-1)
    head = solved(700, rows[:700], words[:700])
    nearest = (head(rows[700:]) @ words[700:].T).topk(5, dim=1).indices
    found = (nearest == torch.arange(100)[:, None]).any(dim=1).float().mean()
    assert found > 0.5  # chance 0.05


def test_words_are_centred_and_halfway_whitened() -> None:
    loud = torch.tensor([10.0, 1.0, 1.0, 0.1])
    rows = torch.randn(4000, 4, generator=torch.Generator().manual_seed(4)) * loud + 7
    space = WordSpace(4)
    space.fit_inputs(rows)
    spread = ((rows - space.mean_E) @ space.whitening_EE).std(dim=0)
    torch.testing.assert_close(spread / spread[1], loud.sqrt(), rtol=0.1, atol=0)
    torch.testing.assert_close(space(rows).norm(dim=1), torch.ones(4000))
    fewer = WordSpace(4)
    fewer.fit_inputs(rows[:2])  # fewer rows than directions
    assert fewer(rows).isfinite().all()


@pytest.mark.parametrize("solved_head", [solved(60), WordSpace(9)], ids=["pictures", "words"])
@torch.no_grad()
def test_both_heads_are_one_unit_vector_and_training_sees_one(solved_head: KernelRegression | WordSpace) -> None:
    trained = ProjectionHead(9, 6)
    both = TrainedAndSolved(trained, solved_head)
    assert torch.equal(both.train()(ROWS_NF), trained(ROWS_NF))
    seen = both.eval()(ROWS_NF)
    torch.testing.assert_close(seen.norm(dim=1), torch.ones(60))
    one, other = trained(ROWS_NF), solved_head(ROWS_NF)
    torch.testing.assert_close(seen @ seen.T, (one @ one.T + other @ other.T) / 2)
    both.fit_inputs(ROWS_NF * 3 + 2)
    assert not torch.allclose(both(ROWS_NF), seen)
