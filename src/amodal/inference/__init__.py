"""The objects a person holds, and their doors: `load`, and `load_fused` for what learnt from scenes."""

from amodal.inference.door import load, load_any, load_fused
from amodal.inference.fused import FusedModel
from amodal.inference.model import LabelScore, Model, Picture
from amodal.inference.table import encode_table

__all__ = ["FusedModel", "LabelScore", "Model", "Picture", "encode_table", "load", "load_any", "load_fused"]
