"""One file a system: finished towers, fusion and heads put together; `forward` gives named features, never a loss."""

from amodal.models.dual_encoder import DualEncoder, EnsembleHead, PairFeatures, ProjectionHead

__all__ = ["DualEncoder", "EnsembleHead", "PairFeatures", "ProjectionHead"]
