"""The objects a person holds, and their doors: `load`, and `load_grounder` for what finds words in pictures."""

from amodal.inference.door import load
from amodal.inference.grounding import GroundedPhrase, GroundedWord, Grounder, Grounding, load_grounder
from amodal.inference.grounding_figure import draw_grounding
from amodal.inference.model import LabelScore, Model, Picture
from amodal.inference.table import encode_table

__all__ = [
    "GroundedPhrase",
    "GroundedWord",
    "Grounder",
    "Grounding",
    "LabelScore",
    "Model",
    "Picture",
    "draw_grounding",
    "encode_table",
    "load",
    "load_grounder",
]
