"""Judges of features: retrieval both ways, zero-shot classification, prompt templates. Each is given arrays."""

from amodal.evaluation.retrieval import retrieval
from amodal.evaluation.templates import TEMPLATES, templates_for
from amodal.evaluation.zero_shot import ZeroShotResult, class_embeddings, zero_shot

__all__ = ["TEMPLATES", "ZeroShotResult", "class_embeddings", "retrieval", "templates_for", "zero_shot"]
