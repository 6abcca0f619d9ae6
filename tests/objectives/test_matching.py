"""The matching loss against a double loop, and its parts."""

import pytest
import torch
import torch.nn.functional as F

from amodal.objectives import match_loss

FIT = torch.tensor([2.0, -1.0, 0.5, 0.3, 1.0], dtype=torch.double)
FITS = torch.tensor([True, False, True, False, False])
PAIR = torch.tensor([0, 0, 1, 1, 1])


def test_against_a_double_loop() -> None:
    rivals = [F.softplus(FIT[j] - FIT[i]) for i, j in ((0, 1), (2, 3), (2, 4))]
    each = [F.softplus(-FIT[i] if FITS[i] else FIT[i]) for i in range(5)]
    expected = torch.stack(rivals).mean() + 0.5 * torch.stack(each).mean()
    torch.testing.assert_close(match_loss(FIT, FITS, PAIR), expected)


def test_captions_of_other_pictures_are_no_rivals() -> None:
    apart = match_loss(FIT, FITS, torch.arange(5))
    torch.testing.assert_close(apart, 0.5 * F.binary_cross_entropy_with_logits(FIT, FITS.double()))


@pytest.mark.parametrize("order", [[4, 3, 2, 1, 0], [2, 0, 4, 1, 3]])
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    torch.testing.assert_close(match_loss(FIT[order], FITS[order], PAIR[order]), match_loss(FIT, FITS, PAIR))
