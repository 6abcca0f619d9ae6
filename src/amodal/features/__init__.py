"""Towers run over data in batches, and the cache of what they said."""

from amodal.features.cache import FeatureCache, default_cache_path
from amodal.features.encode import Encoder, is_frozen
from amodal.features.extract import image_features, image_name, prepare_view, text_features, text_name
from amodal.features.parts import CachedImages, CachedTexts, pooled_tokens
from amodal.features.scenes import (
    Line,
    Places,
    SceneBatches,
    SceneLines,
    WordStates,
    places_of,
    scene_maps,
    word_states,
)

__all__ = [
    "CachedImages",
    "CachedTexts",
    "Encoder",
    "FeatureCache",
    "Line",
    "Places",
    "SceneBatches",
    "SceneLines",
    "WordStates",
    "default_cache_path",
    "image_features",
    "image_name",
    "is_frozen",
    "places_of",
    "pooled_tokens",
    "prepare_view",
    "scene_maps",
    "text_features",
    "text_name",
    "word_states",
]
