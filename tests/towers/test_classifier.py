"""A classifier as half an alignment: the ConSE vector by hand, stand-ins that are of their own class, class texts."""

import math
from typing import Any

import pytest
import timm
import torch
from PIL import Image

from amodal.core.errors import RecipeError
from amodal.data.bundled import photos
from amodal.data.transforms import fit_picture, to_tensor
from amodal.towers import (
    ConSETower,
    class_stand_ins,
    class_texts,
    classifier_features,
    packaged_image_network,
)


def tiny(class_text_KE: torch.Tensor, size: int = 32) -> ConSETower:
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=len(class_text_KE))
    return ConSETower(network, class_text_KE, size=size).eval()


@pytest.fixture(scope="module")
def lite() -> ConSETower:
    return ConSETower(packaged_image_network("lite0"), torch.randn(1000, 8), size=192).eval()


@torch.no_grad()
def test_conse_vector_by_hand() -> None:
    tower = tiny(torch.tensor([[2.0, 0.0], [0.0, 5.0]]))  # made unit length: (1, 0) and (0, 1)
    tower.head.weight.zero_()
    tower.head.weight[0, 0] = 1.0
    tower.head.bias.zero_()
    feature = torch.zeros(2, 512)
    feature[0, 0] = math.log(3.0)  # logits ln 3 and 0: shares 3/4 and 1/4
    vector = tower.with_conse(feature)
    assert vector.shape == (2, 514)
    assert torch.equal(vector[:, :512], feature)
    expected = tower.conse_gain * torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    torch.testing.assert_close(vector[:, 512:], expected)


@torch.no_grad()
def test_forward_is_the_networks_feature_beside_its_weighted_names() -> None:
    names = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    tower = tiny(names)
    pixels = torch.randn(3, 3, 32, 32)
    tokens, network = tower(pixels), tower.network
    share = network(pixels).softmax(-1)
    unit = names / names.norm(dim=1, keepdim=True)
    by_hand = torch.stack([sum((share[b, k] * unit[k] for k in range(5)), torch.zeros(6)) for b in range(3)])
    torch.testing.assert_close(tokens.pooled[:, 512:] / tower.conse_gain, by_hand, rtol=0, atol=1e-5)
    torch.testing.assert_close(tower.head(tokens.pooled[:, :512]), network(pixels), rtol=0, atol=1e-5)
    assert tower.width == 518 == tokens.pooled.shape[1]
    assert tokens.sequence.shape == (3, 1, 512)
    assert tokens.mask.all()


def test_a_network_without_a_fitting_classifier_is_refused() -> None:
    network = timm.create_model("resnet18", num_classes=4)
    with pytest.raises(RecipeError, match=r"out_features=4.* there are 3 class texts"):
        ConSETower(network, torch.eye(3), size=32)
    with pytest.raises(RecipeError, match="linear classifier"):
        ConSETower(timm.create_model("resnet18", num_classes=0), torch.eye(3), size=32)


@torch.no_grad()
def test_stand_ins_are_of_their_own_class(lite: ConSETower) -> None:
    shown = [
        to_tensor(fit_picture(Image.open(path).convert("RGB"), 192, "pad"), (0.5,) * 3, (0.5,) * 3)
        for path in photos().values()
    ]
    feature_NF = lite(torch.stack(shown)).pooled[:, : lite.head.in_features]
    mean_F = feature_NF.mean(dim=0)
    distance = (feature_NF - mean_F).norm(dim=1).mean().item()
    stand_in = classifier_features(lite, mean_F, distance)
    assert stand_in.shape == (1000, lite.width)
    assert stand_in[:, : lite.head.in_features].min() >= 0
    found = lite.head(stand_in[:, : lite.head.in_features]).argmax(dim=1)
    assert (found == torch.arange(1000)).float().mean() > 0.95  # chance 0.001
    kept = (stand_in[:, : lite.head.in_features] - mean_F).norm(dim=1).mean().item()
    assert 0.4 * distance < kept <= 1.01 * distance  # cutting below zero shortens, nothing lengthens


@torch.no_grad()
def test_stand_ins_by_hand() -> None:
    tower = tiny(torch.eye(2))
    tower.head.weight.zero_()
    tower.head.weight[0, 0], tower.head.weight[1, 0] = 3.0, 1.0  # differences from their mean: +1 and -1
    stand_in = classifier_features(tower, torch.full((512,), 0.5), 2.0)
    assert stand_in[:, 0].tolist() == [2.5, 0.0]
    assert torch.equal(stand_in[:, 1:512], torch.full((2, 511), 0.5))


@torch.no_grad()
def test_style_is_the_mean_and_spread_of_every_stage() -> None:
    network: Any = timm.create_model("resnet18", num_classes=3).eval()
    tower = ConSETower(network, torch.eye(3), size=32, style=True).eval()
    pixels = torch.randn(2, 3, 32, 32)
    pooled = tower(pixels).pooled
    _, stages = network.forward_intermediates(pixels)
    assert pooled.shape[1] == tower.width == 512 + 3 + 2 * sum(stage.shape[1] for stage in stages)
    first = stages[0]
    channels = first.shape[1]
    torch.testing.assert_close(pooled[:, 515 : 515 + channels], first.mean((2, 3)))
    torch.testing.assert_close(pooled[:, 515 + channels : 515 + 2 * channels], first.std((2, 3), correction=0))
    plain = ConSETower(network, torch.eye(3), size=32).eval()
    torch.testing.assert_close(pooled[:, :515], plain(pixels).pooled)


@torch.no_grad()
def test_stand_ins_borrow_their_style() -> None:
    tower = ConSETower(timm.create_model("resnet18", num_classes=3), torch.eye(3), size=32, style=True).eval()
    pooled = torch.rand(2, tower.width)
    stand_in = class_stand_ins(tower, pooled)
    assert stand_in.shape == (3, tower.width)
    assert torch.equal(stand_in[:, 515:], pooled[[0, 1, 0], 515:])
    feature = pooled[:, :512]
    spread = (feature - feature.mean(dim=0)).norm(dim=1).mean().item()
    assert torch.equal(stand_in[:, :515], classifier_features(tower, feature.mean(dim=0), spread)[:, :515])


@torch.no_grad()
def test_the_packaged_classifier_knows_a_photograph(lite: ConSETower) -> None:
    names = [texts[0] for texts in class_texts()]
    shown = Image.open(photos()["cat"]).convert("RGB")
    network: Any = lite.network
    logits = network(to_tensor(fit_picture(shown, 224, "pad"), (0.5,) * 3, (0.5,) * 3)[None])
    assert any("cat" in names[number] for number in logits[0].topk(3).indices)


def test_class_texts() -> None:
    texts = class_texts()
    assert len(texts) == 1000
    assert all(said and all(text.strip() for text in said) and len(set(said)) == len(said) for said in texts)
    assert texts[1][:3] == ("goldfish, Carassius auratus", "goldfish", "a photo of goldfish")
    assert any(text.startswith("small golden or orange-red") for text in texts[1])
    assert len({said[0] for said in texts}) > 990
    with pytest.raises(RecipeError, match="not for 7 classes"):
        class_texts(7)
