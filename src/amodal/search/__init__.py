"""Vectors on disk, pictures found by them, and what scores mean: store, index, query, calibration.

Given vectors and an encode function, so it knows no model.
"""

from amodal.search.absent import foreign, nonsense
from amodal.search.blocks import Cluster
from amodal.search.calibration import BEST, Calibration, Spread
from amodal.search.cluster import RayCluster
from amodal.search.embedder import PACKAGED_NAME, Embedder, lasting_name, model_revision
from amodal.search.index import Index
from amodal.search.indexing import Updated, model_of, update
from amodal.search.judged import calibration_figures
from amodal.search.lance import FilterError
from amodal.search.layout import Settings, Version
from amodal.search.mining import NONE, Exact, Guard, Indexed, Nearest, mine
from amodal.search.query import Page, Result, Term, Words
from amodal.search.store import Store
from amodal.search.trials import Kind, Side, Strange, Trials, draw_trials, learn
from amodal.search.vectors import (
    VectorParts,
    VectorStamp,
    VectorType,
    pictures_by_content,
    read_stamp,
    read_vectors,
)
from amodal.search.watching import check_watched, watch

__all__ = [
    "BEST",
    "NONE",
    "PACKAGED_NAME",
    "Calibration",
    "Cluster",
    "Embedder",
    "Exact",
    "FilterError",
    "Guard",
    "Index",
    "Indexed",
    "Kind",
    "Nearest",
    "Page",
    "RayCluster",
    "Result",
    "Settings",
    "Side",
    "Spread",
    "Store",
    "Strange",
    "Term",
    "Trials",
    "Updated",
    "VectorParts",
    "VectorStamp",
    "VectorType",
    "Version",
    "Words",
    "calibration_figures",
    "check_watched",
    "draw_trials",
    "foreign",
    "lasting_name",
    "learn",
    "mine",
    "model_of",
    "model_revision",
    "nonsense",
    "pictures_by_content",
    "read_stamp",
    "read_vectors",
    "update",
    "watch",
]
