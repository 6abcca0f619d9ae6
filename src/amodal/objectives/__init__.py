"""Losses: pure functions on tensors, and thin modules that own only what is learnt."""

from amodal.objectives.doubt import DoubtingInfoNCE, doubting_info_nce
from amodal.objectives.finding import FindingLosses, finding_losses
from amodal.objectives.infonce import InfoNCE, decoupled_info_nce, info_nce, mutual_information_bound
from amodal.objectives.late import LateInteraction, late_loss, late_scores
from amodal.objectives.matching import match_loss
from amodal.objectives.mined import Mined
from amodal.objectives.queue import key_info_nce
from amodal.objectives.sigmoid import SigmoidLoss, sigmoid_loss
from amodal.objectives.soft import Teacher, soft_info_nce
from amodal.objectives.triplet import TripletLoss, triplet_loss

__all__ = [
    "DoubtingInfoNCE",
    "FindingLosses",
    "InfoNCE",
    "LateInteraction",
    "Mined",
    "SigmoidLoss",
    "Teacher",
    "TripletLoss",
    "decoupled_info_nce",
    "doubting_info_nce",
    "finding_losses",
    "info_nce",
    "key_info_nce",
    "late_loss",
    "late_scores",
    "match_loss",
    "mutual_information_bound",
    "sigmoid_loss",
    "soft_info_nce",
    "triplet_loss",
]
