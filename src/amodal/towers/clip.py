"""Weights by the names that CLIP (Radford et al. 2021) and open_clip give them, brought to the names of our towers.

The activation is not in the weights: OpenAI's own and open_clip's "-quickgelu" models need a QuickGELU tower.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from amodal.core.errors import WeightsError

_TEXT_NAMES = {
    "token_embedding.weight": "embedding.weight",
    "positional_embedding": "position",
    "ln_final.weight": "norm.weight",
    "ln_final.bias": "norm.bias",
}
_BLOCK_NAMES = {
    "ln_1.weight": "attention_norm.weight",
    "ln_1.bias": "attention_norm.bias",
    "attn.in_proj_weight": "qkv.weight",
    "attn.in_proj_bias": "qkv.bias",
    "attn.out_proj.weight": "out.weight",
    "attn.out_proj.bias": "out.bias",
    "ln_2.weight": "feed_norm.weight",
    "ln_2.bias": "feed_norm.bias",
    "mlp.c_fc.weight": "up.weight",
    "mlp.c_fc.bias": "up.bias",
    "mlp.c_proj.weight": "down.weight",
    "mlp.c_proj.bias": "down.bias",
}
_BLOCKS = "transformer.resblocks."


def clip_text_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `TextTransformer.load_state_dict` takes (causal, pooling "end") of a whole CLIP's state.

    The head's matrix is `state["text_projection"].T`. Raises WeightsError when there is no such text tower in it.
    """
    found = {}
    for name, tensor in state.items():
        if name in _TEXT_NAMES:
            found[_TEXT_NAMES[name]] = tensor
        elif name.startswith(_BLOCKS):
            number, _, part = name.removeprefix(_BLOCKS).partition(".")
            found[f"blocks.{number}.{_BLOCK_NAMES.get(part, part)}"] = tensor
    if "embedding.weight" not in found:
        raise WeightsError("these weights hold no CLIP text tower (no token_embedding.weight); give a whole CLIP model")
    return found


def clip_image_weights(state: Mapping[str, Tensor], network: Any) -> dict[str, Tensor]:
    """What `load_state_dict` of a timm CLIP ViT without its head takes of a whole CLIP's state.

    The head's matrix is `state["visual.proj"].T`. Raises WeightsError when there is no vision transformer in it.
    """
    from timm.models.vision_transformer import checkpoint_filter_fn

    own = {name: tensor for name, tensor in state.items() if name.startswith("visual.")}
    if "visual.class_embedding" not in own:
        raise WeightsError("these weights hold no CLIP vision transformer (no visual.class_embedding)")
    named = checkpoint_filter_fn(own, network)
    return {name: tensor for name, tensor in named.items() if not name.startswith("head.")}
