"""Judges of features and scores, given arrays: retrieval both ways, zero-shot classification with prompt templates,
matching against false captions, answers to questions, and where phrases are found."""

from amodal.evaluation.answers import answers, question_only
from amodal.evaluation.grounding import Located, enlarged, grounding, phrase_scores
from amodal.evaluation.matching import matching
from amodal.evaluation.retrieval import retrieval, retrieval_gain
from amodal.evaluation.templates import TEMPLATES, templates_for
from amodal.evaluation.zero_shot import ZeroShotResult, class_embeddings, zero_shot

__all__ = [
    "TEMPLATES",
    "Located",
    "ZeroShotResult",
    "answers",
    "class_embeddings",
    "enlarged",
    "grounding",
    "matching",
    "phrase_scores",
    "question_only",
    "retrieval",
    "retrieval_gain",
    "templates_for",
    "zero_shot",
]
