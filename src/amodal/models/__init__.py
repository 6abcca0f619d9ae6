"""One file a system: finished towers, fusion and heads put together; `forward` gives named features, never a loss."""

from amodal.models.dual_encoder import DualEncoder, PairFeatures, ProjectionHead, Standardise
from amodal.models.regression import KernelRegression, TrainedAndSolved, WordSpace

__all__ = [
    "DualEncoder",
    "KernelRegression",
    "PairFeatures",
    "ProjectionHead",
    "Standardise",
    "TrainedAndSolved",
    "WordSpace",
]
