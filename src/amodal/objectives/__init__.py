"""Losses: pure functions on tensors, and thin modules that own only what is learnt."""

from amodal.objectives.infonce import InfoNCE, info_nce, mutual_information_bound

__all__ = ["InfoNCE", "info_nce", "mutual_information_bound"]
