"""Networks for one modality: pixels or token ids in, `Tokens` out.

Every tower has `width` (of its pooled vector) and, when it reads pixels, `preprocessing`; when it reads words,
`context_length`. `fingerprint(tower)` names its weights for caches and cards.
"""

from amodal.towers.classifier import ConSETower, class_stand_ins, class_texts, classifier_features
from amodal.towers.clip import clip_image_weights, clip_text_weights
from amodal.towers.fingerprint import fingerprint
from amodal.towers.folding import folded
from amodal.towers.foreign import Foreign, ForeignImageTower, ForeignTextTower, OwnPreparation
from amodal.towers.hub import hub_dual_encoder, hub_tokenizer
from amodal.towers.huggingface import HuggingFaceTextTower
from amodal.towers.image import ImagePreprocessing, TimmTower, timm_network, timm_preparation, timm_source
from amodal.towers.openclip import FOLDER_CONFIG, open_clip_dual_encoder
from amodal.towers.packaged import PACKAGED_IMAGE, packaged_image_network, packaged_text_folder
from amodal.towers.stages import StageTower
from amodal.towers.text import TextTransformer

__all__ = [
    "FOLDER_CONFIG",
    "PACKAGED_IMAGE",
    "ConSETower",
    "Foreign",
    "ForeignImageTower",
    "ForeignTextTower",
    "HuggingFaceTextTower",
    "ImagePreprocessing",
    "OwnPreparation",
    "StageTower",
    "TextTransformer",
    "TimmTower",
    "class_stand_ins",
    "class_texts",
    "classifier_features",
    "clip_image_weights",
    "clip_text_weights",
    "fingerprint",
    "folded",
    "hub_dual_encoder",
    "hub_tokenizer",
    "open_clip_dual_encoder",
    "packaged_image_network",
    "packaged_text_folder",
    "timm_network",
    "timm_preparation",
    "timm_source",
]
