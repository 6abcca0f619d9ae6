"""Vectors on disk, and pictures found by them: store, index, query; given an encode function, so it knows no model."""

from amodal.search.embedder import Embedder, model_revision
from amodal.search.index import Calibration, Index
from amodal.search.indexing import Updated, update
from amodal.search.layout import Settings, Version
from amodal.search.query import Page, Result, Term
from amodal.search.store import Store
from amodal.search.vectors import (
    VectorParts,
    VectorStamp,
    VectorType,
    pictures_by_content,
    read_stamp,
    read_vectors,
)
from amodal.search.watching import watch

__all__ = [
    "Calibration",
    "Embedder",
    "Index",
    "Page",
    "Result",
    "Settings",
    "Store",
    "Term",
    "Updated",
    "VectorParts",
    "VectorStamp",
    "VectorType",
    "Version",
    "model_revision",
    "pictures_by_content",
    "read_stamp",
    "read_vectors",
    "update",
    "watch",
]
