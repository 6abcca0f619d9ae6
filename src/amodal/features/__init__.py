"""Towers run over data in batches, and the cache of what they said."""

from amodal.features.cache import FeatureCache, default_cache_path
from amodal.features.encode import Encoder, is_frozen
from amodal.features.extract import image_features, image_name, prepare_view, text_features, text_name
from amodal.features.parts import CachedImages, CachedTexts, pooled_tokens

__all__ = [
    "CachedImages",
    "CachedTexts",
    "Encoder",
    "FeatureCache",
    "default_cache_path",
    "image_features",
    "image_name",
    "is_frozen",
    "pooled_tokens",
    "prepare_view",
    "text_features",
    "text_name",
]
