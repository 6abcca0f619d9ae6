"""Maps of several stages on one grid: the same numbers as the network's own maps, each at its place."""

import copy
from typing import Any

import timm
import torch

from amodal.towers import ImagePreprocessing, StageTower


@torch.no_grad()
def test_places_hold_the_maps_of_the_stages() -> None:
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).double().eval()
    for norm in [part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)]:
        norm.running_mean = 0.1 * torch.randn_like(norm.weight)
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
    tower = StageTower(copy.deepcopy(network), (3, 4), ImagePreprocessing(size=64)).eval()
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in tower.modules())
    assert tower.grid == (2, 2)
    assert tower.width == 112 * 4 + 320
    assert tower.folds == ((112, 2), (320, 1))
    assert tower.finest == (4, 4)
    pixels = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    tokens = tower(pixels)
    maps: Any = network
    fine, coarse = maps.forward_intermediates(pixels, indices=[3, 4], intermediates_only=True)
    assert tokens.mask.all()
    torch.testing.assert_close(tokens.sequence[:, 1, 448:], coarse[:, :, 0, 1])
    torch.testing.assert_close(tokens.sequence[:, 2, :448].view(2, 112, 2, 2), fine[:, :, 2:4, 0:2])
    torch.testing.assert_close(tokens.pooled, tokens.sequence.mean(1))
