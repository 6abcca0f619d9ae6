"""Pointing, overlap and the boxes of maps, on tables small enough to check by hand."""

import numpy as np
import pytest

from amodal.metrics.grounding import box_around_peak, box_iou, deletion_insertion, grid_ceiling, mask_iou, pointed

MAP = np.array([[0.0, 3.0, 0.0, 2.0], [0.0, 1.0, 0.0, 2.5], [-1.0, -1.0, -1.0, -1.0]])


def test_the_highest_place_counts_and_tied_ones_share() -> None:
    true = np.zeros((3, 4), bool)
    true[0, 1] = True
    assert pointed(MAP, true) == 1.0
    assert pointed(-MAP, true) == 0.0
    assert pointed(np.zeros((3, 4)), true) == pytest.approx(1 / 12)


def test_overlap_of_masks_and_boxes() -> None:
    one, other = np.zeros((2, 4, 4), bool)
    assert mask_iou(one, other) == 0.0
    one[:2, :2], other[1:3, :2] = True, True
    assert mask_iou(one, other) == pytest.approx(2 / 6)
    assert box_iou((0, 0, 2, 2), (0, 1, 2, 3)) == pytest.approx(2 / 6)
    assert box_iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0.0
    assert box_iou((0, 0, 2, 3), (0, 0, 2, 3)) == 1.0


def test_the_box_holds_what_hangs_together_with_the_peak() -> None:
    assert box_around_peak(MAP, 0.5) == (1, 0, 2, 2)  # not the second column of high values
    assert box_around_peak(MAP, 9.0) == (1, 0, 2, 1)
    assert box_around_peak(np.ones((3, 4)), 0.0) == (0, 0, 4, 3)


def test_the_ceiling_is_the_best_set_of_cells() -> None:
    """Two by two cells of four pixels; one covered whole, one by a quarter: 4 / 5, not (4 + 1) / 8."""
    true = np.zeros((4, 4), bool)
    true[:2, :2] = True
    assert grid_ceiling(true, 2) == 1.0
    true[0, 2] = True
    assert grid_ceiling(true, 2) == pytest.approx(4 / 5)
    assert grid_ceiling(true, 4) == 1.0
    assert grid_ceiling(np.zeros((4, 4), bool), 2) == 0.0


def test_no_set_of_cells_beats_the_ceiling() -> None:
    true = np.random.default_rng(0).random((6, 6)) < 0.4
    best = 0.0
    for chosen in range(1, 1 << 9):
        cells = np.array([chosen >> cell & 1 for cell in range(9)], bool).reshape(3, 3)
        best = max(best, mask_iou(cells.repeat(2, 0).repeat(2, 1), true))
    assert grid_ceiling(true, 3) == pytest.approx(best)


def test_deletion_falls_and_insertion_rises_with_the_place_that_matters() -> None:
    """The score is one while the first place is there: gone after one step of four, or after all."""
    map_GG = np.array([[0.9, 0.1], [0.3, 0.2]])

    def score(left_KGG: np.ndarray) -> np.ndarray:
        return left_KGG[:, 0, 0].astype(float)

    assert deletion_insertion(score, map_GG, steps=4) == pytest.approx((0.125, 0.875))
    assert deletion_insertion(score, -map_GG, steps=4) == pytest.approx((0.875, 0.125))
    assert deletion_insertion(lambda left: np.full(len(left), 0.3), map_GG) == pytest.approx((0.3, 0.3))
    with pytest.raises(ValueError, match="at least 1"):
        deletion_insertion(score, map_GG, steps=0)
