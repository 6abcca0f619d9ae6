"""Losses of finding against sums written out, and that unlinked words cost nothing."""

import math

import torch
import torch.nn.functional as F

from amodal.objectives import finding_losses
from amodal.objectives.finding import AMOUNT, SUM, THERE

LOOK = torch.tensor([[[1.0, 0.0, -1.0], [0.0, 2.0, 0.0], [5.0, 5.0, 5.0]]])
THERE_LOGITS, AMOUNTS = torch.tensor([[[2.0, -2.0, 0.0], [-1.0, -1.0, -1.0], [9.0, 9.0, 9.0]]]), LOOK.abs() / 4
MEANS = torch.tensor([[3.0, -3.0, 0.0]])
TRUTH = {
    "covers_BLP": torch.tensor([[[0.6, 0.2, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]]),
    "centres_BLP": torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]]),
    "linked_BL": torch.tensor([[True, True, False]]),
    "mask_BL": torch.tensor([[True, True, False]]),
}


def test_by_hand() -> None:
    """Word 0 means things that are there, word 1 things that are not, word 2 is not real."""
    losses = finding_losses(LOOK, THERE_LOGITS, AMOUNTS, MEANS, **TRUTH)
    total = math.log(math.exp(1) + 1 + math.exp(-1))
    torch.testing.assert_close(losses.look, torch.tensor(total - 0.75 * 1 - 0.25 * 0))
    there = F.binary_cross_entropy_with_logits(THERE_LOGITS[0, :2], TRUTH["covers_BLP"][0, :2])
    torch.testing.assert_close(losses.there, THERE * there)
    squares = (0.75**2 + 0.25**2 + 0.5**2) / 2  # amounts 0.25, 0, 0.25 and 0, 0.5, 0
    sums = (0.5 * 0.5**2 + 0.5 * 0.5**2) / 2
    torch.testing.assert_close(losses.amount, torch.tensor(AMOUNT * squares + SUM * sums))
    torch.testing.assert_close(losses.means, torch.tensor((math.log1p(math.exp(-3)) + math.log1p(math.exp(3))) / 2))


def test_a_batch_without_linked_words_has_no_loss_but_a_graph() -> None:
    look = LOOK.clone().requires_grad_()
    losses = finding_losses(look, THERE_LOGITS, AMOUNTS, MEANS, **{**TRUTH, "linked_BL": torch.zeros(1, 3).bool()})
    assert losses.look.item() == losses.there.item() == losses.amount.item() == 0
    losses.look.backward()
    assert look.grad is not None
    assert not look.grad.any()
