"""Any timm network as a tower: shapes, and the pooled vector timm itself gives."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from amodal.core.errors import RecipeError
from amodal.towers import TimmTower, timm_network

SWIN = {"depths": (1, 1), "embed_dim": 12, "num_heads": (1, 2)}
# name, image size, options that keep it small, places, width of a place
NETWORKS = [
    ("resnet18", 64, {}, 4, 512),
    ("vit_tiny_patch16_224", 32, {"depth": 1}, 5, 192),  # four patches and the class token
    ("efficientnet_lite0", 64, {}, 4, 1280),
    ("mobilenetv3_small_050", 64, {}, 4, 288),  # the head widens the pooled vector
    ("swin_tiny_patch4_window7_224", 56, SWIN, 49, 24),  # channels last
]


def pixels(size: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "size", "options", "places", "width"), NETWORKS)
@torch.no_grad()
def test_tokens_and_timms_own_pooled_vector(name: str, size: int, options: dict, places: int, width: int) -> None:
    tower = TimmTower(name, image_size=size, options=options).eval()
    tokens = tower(pixels(size))
    assert tokens.sequence.shape == (2, places, width)
    assert tokens.mask.shape == (2, places)
    assert tokens.mask.all()
    assert tokens.pooled.shape == (2, tower.width)
    network: Any = tower.network
    torch.testing.assert_close(tokens.pooled, network(pixels(size)), rtol=0, atol=2e-5)


@torch.no_grad()
def test_without_a_classifier_it_is_timms_network() -> None:
    tower = TimmTower("resnet18", image_size=64).eval()
    plain: Any = timm.create_model("resnet18", num_classes=5).eval()
    plain.load_state_dict({**plain.state_dict(), **tower.network.state_dict()})
    pooled = tower(pixels(64)).pooled
    torch.testing.assert_close(plain.fc(pooled), plain(pixels(64)), rtol=0, atol=1e-5)


@torch.no_grad()
def test_places_are_the_map_row_by_row() -> None:
    tower = TimmTower("resnet18", image_size=96).eval()
    network: Any = tower.network
    feature_map = network.forward_features(pixels(96))  # (B, D, 3, 3)
    sequence = tower(pixels(96)).sequence
    for row in range(3):
        for column in range(3):
            torch.testing.assert_close(sequence[:, 3 * row + column], feature_map[:, :, row, column])


@torch.no_grad()
def test_places_of_a_channels_last_network() -> None:
    tower = TimmTower("swin_tiny_patch4_window7_224", image_size=56, options=SWIN).eval()
    network: Any = tower.network
    feature_map = network.forward_features(pixels(56))  # (B, 7, 7, D)
    assert feature_map.shape == (2, 7, 7, 24)
    torch.testing.assert_close(tower(pixels(56)).sequence[:, 8], feature_map[:, 1, 1])


def test_preprocessing_is_the_networks_own() -> None:
    tower = TimmTower("resnet18")
    assert tower.preprocessing.size == 224
    assert tower.preprocessing.mean == (0.485, 0.456, 0.406)
    assert tower.preprocessing.std == (0.229, 0.224, 0.225)
    assert TimmTower("efficientnet_lite0", image_size=48).preprocessing.size == 48


def test_building_leaves_the_network_in_training_and_its_statistics_untouched() -> None:
    tower = TimmTower("resnet18", image_size=32)
    assert tower.training
    assert all(module.training for module in tower.modules())
    state = tower.state_dict()
    assert not any(state[name].any() for name in state if name.endswith("running_mean"))


def test_options_reach_timm() -> None:
    network: Any = TimmTower("vit_tiny_patch16_224", image_size=32, options={"depth": 2}).network
    assert len(network.blocks) == 2


def test_unknown_name_tells_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"timm cannot build 'resnet_18_x'.*names like it: .*resnet"):
        TimmTower("resnet_18_x")
    with pytest.raises(RecipeError, match=r"see timm\.list_models"):
        TimmTower("zzqq")


def test_gradients_reach_every_parameter() -> None:
    tower = TimmTower("vit_tiny_patch16_224", image_size=32, options={"depth": 1})
    tower(pixels(32)).pooled.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in tower.parameters())


def test_frozen_statistics_stay_while_the_tower_is_trained() -> None:
    tower = TimmTower("resnet18", image_size=64, statistics="frozen").train()
    assert tower.network.training
    before = {name: buffer.clone() for name, buffer in tower.named_buffers()}
    both = tower(pixels(64, 4)).pooled
    both.sum().backward()
    assert all(torch.equal(buffer, before[name]) for name, buffer in tower.named_buffers())
    torch.testing.assert_close(tower(pixels(64, 4)[:1]).pooled, both[:1], rtol=1e-4, atol=1e-5)  # no row needs others
    assert tower.network.bn1.weight.grad is not None  # what they scale is learnt
    free = TimmTower("resnet18", image_size=64).train()
    free(pixels(64, 4))
    assert not torch.equal(free.network.bn1.running_mean, torch.zeros(64))


def test_a_folder_of_pickled_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(RecipeError, match="holds no safetensors"):
        timm_network(f"local-dir:{tmp_path}", pretrained=True)
