"""A name for what a network computes: the same after a reload, another after any change that matters."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertModel

from amodal.towers import ConSETower, HuggingFaceTextTower, TextTransformer, TimmTower, fingerprint


def transformer(**given: Any) -> TextTransformer:
    torch.manual_seed(0)
    options = {"vocabulary": 12, "width": 8, "depth": 1, "heads": 2, "context_length": 6, **given}
    return TextTransformer(**options)


def test_the_same_weights_have_the_same_name_in_any_mode() -> None:
    tower = transformer()
    name = fingerprint(tower)
    assert len(name) == 64
    assert fingerprint(transformer()) == fingerprint(tower.eval()) == fingerprint(tower.requires_grad_(False)) == name


def test_stable_over_saving_and_loading(tmp_path: Path) -> None:
    tower = TimmTower("resnet18", image_size=32)
    save_file(tower.state_dict(), tmp_path / "w.safetensors")
    again = TimmTower("resnet18", image_size=32)
    assert fingerprint(again) != fingerprint(tower)
    again.load_state_dict(load_file(tmp_path / "w.safetensors"))
    assert fingerprint(again, again.preprocessing) == fingerprint(tower, tower.preprocessing)


def test_one_bit_of_one_tensor_changes_it() -> None:
    tower = transformer()
    names = {fingerprint(tower)}
    with torch.no_grad():
        for parameter in tower.parameters():
            flat = parameter.view(-1)
            flat[-1] = torch.nextafter(flat[-1], torch.tensor(torch.inf))
            names.add(fingerprint(tower))
    assert len(names) == 1 + len(list(tower.parameters()))


def test_a_buffer_changes_it() -> None:
    norm = nn.BatchNorm1d(3)
    before = fingerprint(norm)
    norm(torch.randn(4, 3))
    assert fingerprint(norm) != before


def test_shape_type_and_dtype_count() -> None:
    flat, square = nn.Module(), nn.Module()
    flat.register_buffer("w", torch.zeros(4))
    square.register_buffer("w", torch.zeros(2, 2))
    assert fingerprint(flat) != fingerprint(square)
    assert fingerprint(nn.Linear(2, 2)) != fingerprint(nn.Linear(2, 2).to(torch.bfloat16))
    assert fingerprint(nn.ReLU()) != fingerprint(nn.GELU())
    assert fingerprint(nn.ReLU(), "a") != fingerprint(nn.ReLU(), "b")


def test_what_shares_every_weight_and_computes_another_thing_has_another_name(tmp_path: Path) -> None:
    texts = [transformer(), transformer(pooling="mean"), transformer(causal=False), transformer(heads=4)]
    assert len({fingerprint(tower) for tower in texts}) == 4
    BertModel(BertConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(
        tmp_path
    )
    poolings = [HuggingFaceTextTower(str(tmp_path), pooling=pooling) for pooling in ("mean", "first")]
    assert fingerprint(poolings[0]) != fingerprint(poolings[1])


@pytest.mark.parametrize(("one", "other"), [("tf_efficientnet_lite0", "efficientnet_lite0")])
def test_networks_that_differ_in_padding_alone_have_their_own_names(one: str, other: str) -> None:
    """The two pad pictures differently with the same tensors, and so give other features."""
    first, second = TimmTower(one, image_size=33).eval(), TimmTower(other, image_size=33).eval()
    second.load_state_dict(first.state_dict())
    pixels = torch.randn(1, 3, 33, 33)
    with torch.no_grad():
        assert not torch.allclose(first(pixels).pooled, second(pixels).pooled)
    assert fingerprint(first) != fingerprint(second)


def test_a_conse_tower_is_named_by_its_class_texts_too() -> None:
    network = timm.create_model("resnet18", num_classes=2)
    one, other = (ConSETower(network, text, size=32) for text in (torch.eye(2), torch.eye(2).flip(0)))
    assert fingerprint(one) != fingerprint(other)


def test_a_conse_tower_is_named_by_its_style_too() -> None:
    """Both share every weight and the preprocessing."""
    network = timm.create_model("resnet18", num_classes=2)
    plain, styled = (ConSETower(network, torch.eye(2), size=32, style=style) for style in (False, True))
    assert plain.preprocessing == styled.preprocessing
    assert fingerprint(plain) != fingerprint(styled)
