"""The object a person holds, and its door: `load`."""

from amodal.inference.door import load
from amodal.inference.model import LabelScore, Model, Picture
from amodal.inference.table import encode_table

__all__ = ["LabelScore", "Model", "Picture", "encode_table", "load"]
