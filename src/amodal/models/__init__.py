"""One file a system: finished towers, fusion and heads put together; `forward` gives named features, never a loss."""

from amodal.models.dual_encoder import DualEncoder, PairFeatures, ProjectionHead, Standardise, UnitLength
from amodal.models.fused import Fused, FusedFeatures, Heads
from amodal.models.reader import Found, Reader, ReadFeatures
from amodal.models.regression import KernelRegression, TrainedAndSolved, WordSpace

__all__ = [
    "DualEncoder",
    "Found",
    "Fused",
    "FusedFeatures",
    "Heads",
    "KernelRegression",
    "PairFeatures",
    "ProjectionHead",
    "ReadFeatures",
    "Reader",
    "Standardise",
    "TrainedAndSolved",
    "UnitLength",
    "WordSpace",
]
