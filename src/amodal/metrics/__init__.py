"""Numbers from arrays. Nothing here knows a model."""

from amodal.metrics.bootstrap import Figure, bootstrap_crossed, bootstrap_mean, crossed_mean
from amodal.metrics.ranks import best_matches, first_match_ranks

__all__ = ["Figure", "best_matches", "bootstrap_crossed", "bootstrap_mean", "crossed_mean", "first_match_ranks"]
