"""The objects a person holds, and their doors: `load`, and `load_fused` for what learnt from scenes."""

from amodal.data.pictures import Picture
from amodal.inference.door import load, load_any, load_fused
from amodal.inference.fused import FusedModel
from amodal.inference.grounding import GroundedPhrase, GroundedWord, Grounding
from amodal.inference.grounding_figure import draw_grounding
from amodal.inference.model import Labelled, LabelScore, Model
from amodal.inference.table import encode_table

__all__ = [
    "FusedModel",
    "GroundedPhrase",
    "GroundedWord",
    "Grounding",
    "LabelScore",
    "Labelled",
    "Model",
    "Picture",
    "draw_grounding",
    "encode_table",
    "load",
    "load_any",
    "load_fused",
]
