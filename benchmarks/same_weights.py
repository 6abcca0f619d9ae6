"""One CLIP of ViT-B/32's shape in open_clip and in ours, with the same fresh weights, and captions for it; for the
benchmarks beside this file."""

import logging
import random
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from amodal.data.emoji import bundled_table
from amodal.data.rows import Row
from amodal.models import DualEncoder, ProjectionHead
from amodal.towers import TextTransformer, TimmTower, clip_image_weights, clip_text_weights

WIDTH, CONTEXT, VOCABULARY = 512, 77, 49408
TEMPLATE = "a picture of {}"


def peer_module(name: str) -> Any:
    """A module of open_clip_torch; without that package the program ends here and says how to get it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{error}, so there is nothing to compare with: pip install --group bench\n")
        sys.exit(1)


def open_clip_model() -> Any:
    """open_clip's ViT-B-32 with fresh, seeded weights."""
    logging.getLogger().setLevel(logging.ERROR)  # that its weights are fresh is what we want
    torch.manual_seed(0)
    return peer_module("open_clip").create_model("ViT-B-32").eval()


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


def captioned(count: int) -> tuple[list[Row], list[str]]:
    """`count` bundled pictures of one style in random order, and for each its name with its keywords in a template."""
    rows = list(bundled_table(styles=("noto",)).rows)
    random.Random(0).shuffle(rows)
    return rows[:count], [TEMPLATE.format(row.captions[0]) for row in rows[:count]]


def clip_ids(texts: Sequence[str]) -> Tensor:
    """Ids by open_clip's tokenizer, which pads every text to the end of the context. -> (N, 77)"""
    return peer_module("open_clip").get_tokenizer("ViT-B-32")(list(texts))


def cut(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Ids (B, 77), zero behind the end token, as our tokenizer would give them. -> ids and mask (B, longest)"""
    mask = ids != 0
    longest = int(mask.sum(dim=1).max())
    return ids[:, :longest], mask[:, :longest]
