"""Towers without their batch norms: the same outputs, and the tower itself wherever they would be others."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from amodal.core.batch import Tokens
from amodal.towers import ConSETower, TimmTower, folded


def stirred(tower: nn.Module) -> nn.Module:
    """Norms that are no longer those of a fresh network."""
    for norm in (part for part in tower.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias, std=0.2)
        norm.running_mean = 0.1 * torch.randn_like(norm.weight)
        norm.running_var = torch.empty_like(norm.weight).uniform_(0.5, 2)
    return tower.double().eval()


def norms(tower: nn.Module) -> list[nn.Module]:
    return [part for part in tower.modules() if isinstance(part, nn.BatchNorm2d)]


def conse() -> nn.Module:
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=4)
    return ConSETower(network, torch.randn(4, 8), size=64, style=True)


@pytest.mark.parametrize("make", [conse, lambda: TimmTower("test_resnet"), lambda: TimmTower("test_efficientnet")])
@torch.inference_mode()
def test_a_folded_tower_says_the_same(make: Any) -> None:
    torch.manual_seed(0)
    tower = stirred(make())
    before = len(norms(tower))
    faster = folded(tower, torch.randn(2, 3, 64, 64, dtype=torch.float64))
    assert len(norms(faster)) < before
    assert len(norms(tower)) == before  # the tower is left as it was
    pixels = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(faster(pixels).pooled, tower(pixels).pooled)


class Elsewhere(nn.Module):
    """Its norm stands behind a convolution and is computed before it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)

    def forward(self, pixels: Tensor) -> Tokens:
        pooled = self.convolution(self.norm(pixels)).mean((2, 3))
        return Tokens(pooled[:, None], torch.ones(len(pooled), 1, dtype=torch.bool), pooled)


def test_where_that_would_change_what_it_says_the_tower_stays() -> None:
    torch.manual_seed(0)
    tower = stirred(Elsewhere())
    assert folded(tower, torch.randn(2, 3, 8, 8, dtype=torch.float64)) is tower
    assert len(norms(tower)) == 1


def test_a_tower_without_norms_is_not_copied() -> None:
    tower = TimmTower("test_vit")
    assert folded(tower, torch.randn(1, 3, 160, 160)) is tower
