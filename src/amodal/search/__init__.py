"""Vectors on disk, and pictures found by them: store, index, query; given an encode function, so it knows no model."""

from amodal.search.vectors import VectorParts, VectorStamp, VectorType, read_stamp, read_vectors

__all__ = ["VectorParts", "VectorStamp", "VectorType", "read_stamp", "read_vectors"]
