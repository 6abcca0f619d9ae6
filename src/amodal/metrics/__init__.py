"""Numbers from arrays. Nothing here knows a model."""

from amodal.metrics.bootstrap import Figure, bootstrap_crossed, bootstrap_mean, crossed_mean
from amodal.metrics.calibration import calibration_error, refusal, refusal_gain
from amodal.metrics.grounding import (
    Box,
    Erased,
    box_around_peak,
    box_iou,
    deletion_insertion,
    grid_ceiling,
    mask_iou,
    pointed,
)
from amodal.metrics.preference import preferred
from amodal.metrics.ranks import best_matches, first_match_ranks

__all__ = [
    "Box",
    "Erased",
    "Figure",
    "best_matches",
    "bootstrap_crossed",
    "bootstrap_mean",
    "box_around_peak",
    "box_iou",
    "calibration_error",
    "crossed_mean",
    "deletion_insertion",
    "first_match_ranks",
    "grid_ceiling",
    "mask_iou",
    "pointed",
    "preferred",
    "refusal",
    "refusal_gain",
]
