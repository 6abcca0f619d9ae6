"""One CLIP of ViT-B/32's shape in open_clip and in ours, with the same fresh weights, and captions for it; for the
benchmarks beside this file."""

import logging
import random
import sys
from typing import Any

import torch
from torch import Tensor

from amodal.data.emoji import bundled_table
from amodal.models import DualEncoder, ProjectionHead
from amodal.towers import TextTransformer, TimmTower, clip_image_weights, clip_text_weights

WIDTH, CONTEXT, VOCABULARY = 512, 77, 49408
TEMPLATE = "a picture of {}"


def open_clip_model() -> Any:
    """open_clip's ViT-B-32 with fresh, seeded weights; without open_clip the program ends and says how to get it."""
    try:
        import open_clip  # pyright: ignore[reportMissingImports]
    except ImportError:
        sys.stderr.write("open_clip is not installed, so there is nothing to compare with: pip install --group bench\n")
        sys.exit(1)
    logging.getLogger().setLevel(logging.ERROR)  # that its weights are fresh is what we want
    torch.manual_seed(0)
    return open_clip.create_model("ViT-B-32").eval()


def our_model(peer: Any) -> DualEncoder:
    """The same model in our parts: timm's ViT, our Transformer, two linear heads."""
    state = peer.state_dict()
    image = TimmTower("vit_base_patch32_clip_224")
    image.network.load_state_dict(clip_image_weights(state, image.network))
    text = TextTransformer(vocabulary=VOCABULARY, width=512, depth=12, heads=8, context_length=CONTEXT)
    text.load_state_dict(clip_text_weights(state))
    heads = [ProjectionHead(image.width, WIDTH), ProjectionHead(text.width, WIDTH)]
    for head, matrix in zip(heads, (state["visual.proj"], state["text_projection"]), strict=True):
        head.layers[-1].load_state_dict({"weight": matrix.T})
    return DualEncoder(image, text, *heads).eval()


def caption_ids(count: int) -> Tensor:
    """CLIP's ids of `count` distinct bundled names with their keywords in a template, in random order. -> (N, 77)"""
    import open_clip  # pyright: ignore[reportMissingImports]

    captions = list(dict.fromkeys(TEMPLATE.format(row.captions[0]) for row in bundled_table().rows))
    random.Random(0).shuffle(captions)
    return open_clip.get_tokenizer("ViT-B-32")(captions[:count])


def cut(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Ids (B, 77), zero behind the end token, as our tokenizer would give them. -> ids and mask (B, longest)"""
    mask = ids != 0
    longest = int(mask.sum(dim=1).max())
    return ids[:, :longest], mask[:, :longest]
