"""Joins of two modalities: image `Tokens` and text `Tokens` in, joint `Tokens` out; padding never changes a result.

Early (features joined at the input of one network), late (separate encoders, joined at the end), attention (self-,
cross- and co-attention, a bottleneck of queries) and deep (both kinds of layers interleaved).
"""

from amodal.fusion.attention import Attention, attention_maps
from amodal.fusion.blocks import CrossBlock, FeedForward, SelfBlock
from amodal.fusion.fuse import (
    FUSIONS,
    JOINS,
    MEETINGS,
    FusionSize,
    Inputs,
    LayeredFusion,
    QueryFusion,
    attention_fusion,
    deep_fusion,
    early_fusion,
    late_fusion,
)
from amodal.fusion.joins import Concatenation, GatedSum, LowRankBilinear, Product
from amodal.fusion.layers import Pair, masked_mean
from amodal.fusion.places import LearntPlaces, SinePlaces, centres, check_filled, order_sines

__all__ = [
    "FUSIONS",
    "JOINS",
    "MEETINGS",
    "Attention",
    "Concatenation",
    "CrossBlock",
    "FeedForward",
    "FusionSize",
    "GatedSum",
    "Inputs",
    "LayeredFusion",
    "LearntPlaces",
    "LowRankBilinear",
    "Pair",
    "Product",
    "QueryFusion",
    "SelfBlock",
    "SinePlaces",
    "attention_fusion",
    "attention_maps",
    "centres",
    "check_filled",
    "deep_fusion",
    "early_fusion",
    "late_fusion",
    "masked_mean",
    "order_sines",
]
