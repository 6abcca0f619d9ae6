"""Pictures found by words, and what their scores mean; given vectors, knows no model."""

from amodal.search.absent import foreign, nonsense
from amodal.search.calibration import BEST, Calibration, Library, Spread
from amodal.search.judged import calibration_figures
from amodal.search.trials import Kind, Side, Strange, Trials, draw_trials, learn

__all__ = [
    "BEST",
    "Calibration",
    "Kind",
    "Library",
    "Side",
    "Spread",
    "Strange",
    "Trials",
    "calibration_figures",
    "draw_trials",
    "foreign",
    "learn",
    "nonsense",
]
