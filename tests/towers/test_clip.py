"""CLIP's weights in our towers give what transformers' own CLIP gives with them."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

from amodal.core.errors import WeightsError
from amodal.towers import TextTransformer, TimmTower, clip_image_weights, clip_text_weights

SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
ORIGINAL = {
    "text_model.embeddings.token_embedding": "token_embedding",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm": "ln_final",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding": "visual.conv1",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm": "visual.ln_pre",
    "vision_model.post_layernorm": "visual.ln_post",
    "text_model.encoder.layers.": "transformer.resblocks.",
    "vision_model.encoder.layers.": "visual.transformer.resblocks.",
    "layer_norm": "ln_",
    "self_attn": "attn",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def original(network: torch.nn.Module) -> dict[str, Tensor]:
    """transformers' weights, far from zero, by the names that OpenAI gave them."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    state = {}
    for name, tensor in network.state_dict().items():
        for theirs, first in ORIGINAL.items():
            name = name.replace(theirs, first)
        state[name] = tensor
    for name in [name for name in state if ".attn.q_proj." in name]:
        parts = [state.pop(name.replace(".q_proj.", f".{part}_proj.")) for part in "qkv"]
        state[re.sub(r"q_proj\.", "in_proj_", name)] = torch.cat(parts)
    if "text_projection.weight" in state:
        state["text_projection"] = state.pop("text_projection.weight").T
    else:
        state["visual.proj"] = state.pop("visual_projection.weight").T
    return state


@torch.no_grad()
def test_text_vectors_are_those_of_clip() -> None:
    config = CLIPTextConfig(
        vocab_size=20, projection_dim=8, max_position_embeddings=12, hidden_act="gelu", eos_token_id=19, **SIZES
    )
    peer = CLIPTextModelWithProjection(config).eval()
    state = original(peer)
    tower = TextTransformer(vocabulary=20, width=32, depth=2, heads=2, context_length=12).eval()
    tower.load_state_dict(clip_text_weights(state))
    lengths = torch.tensor([4, 7, 2, 7])
    mask = torch.arange(7) < lengths[:, None]
    ids = torch.randint(1, 19, (4, 7)).where(mask, 0)
    ids[torch.arange(4), lengths - 1] = 19
    padded = torch.nn.functional.pad(ids, (0, 5))  # as CLIP pads: to the context's end
    expected = peer(padded).text_embeds
    assert expected.std() > 0.1
    torch.testing.assert_close(tower(ids, mask).pooled @ state["text_projection"], expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_image_vectors_are_those_of_clip() -> None:
    config = CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=8, hidden_act="gelu", **SIZES)
    peer = CLIPVisionModelWithProjection(config).eval()
    state = original(peer)
    options = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    tower = TimmTower("vit_base_patch32_clip_224", image_size=32, options=options).eval()
    tower.network.load_state_dict(clip_image_weights(state, tower.network))
    pixels = torch.randn(3, 3, 32, 32)
    expected = peer(pixels).image_embeds
    assert expected.std() > 0.1
    torch.testing.assert_close(tower(pixels).pooled @ state["visual.proj"], expected, rtol=0, atol=1e-5)


def test_weights_of_something_else_are_refused() -> None:
    with pytest.raises(WeightsError, match="no CLIP text tower"):
        clip_text_weights({"weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="no CLIP vision transformer"):
        clip_image_weights({"visual.conv1.weight": torch.zeros(1)}, None)
