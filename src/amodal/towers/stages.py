"""Maps of places from several stages of a timm network: fine ones for what a place looks like, coarse for what it is.

B pictures · H W pixels · P places · D width
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Tokens
from amodal.towers.folding import fold_norms
from amodal.towers.image import ImagePreprocessing


class StageTower(nn.Module):
    """The last maps of some stages of a convolutional timm network, side by side on one grid; it stays as it is, so its
    batch norms are computed into its convolutions.

    stages: numbers as `forward_intermediates` counts them, the coarsest last; its grid is that of the places. Finer
    maps have several places in one of the grid: these are put behind each other in its vector. folds: channels of each
    stage, and how many times as fine as the grid it is.
    """

    network: Any  # timm's networks have methods that nn.Module does not declare

    def __init__(self, network: Any, stages: Sequence[int], preprocessing: ImagePreprocessing) -> None:
        super().__init__()
        self.network, self.stages, self.preprocessing = network, tuple(stages), preprocessing
        with torch.no_grad():
            fold_norms(network.eval())
            maps = self._maps(next(network.parameters()).new_zeros(1, 3, preprocessing.size, preprocessing.size))
        self.grid: tuple[int, int] = (maps[-1].shape[2], maps[-1].shape[3])
        self.folds = tuple((x.shape[1], x.shape[2] // self.grid[0]) for x in maps)
        self.width: int = sum(channels * factor**2 for channels, factor in self.folds)

    @property
    def finest(self) -> tuple[int, int]:
        """The grid of the finest stage."""
        factor = max(factor for _, factor in self.folds)
        return factor * self.grid[0], factor * self.grid[1]

    def extra_repr(self) -> str:
        """What the weights do not tell; `fingerprint` reads it."""
        return f"stages={self.stages}"

    def forward(self, pixels: Tensor) -> Tokens:
        """(B, 3, H, W) -> Tokens (B, P, D), all real; pooled is the mean place."""
        maps = zip(self._maps(pixels), self.folds, strict=True)
        folded = torch.cat([F.pixel_unshuffle(x, factor) for x, (_, factor) in maps], dim=1)
        places = folded.flatten(2).transpose(1, 2)
        mask = torch.ones(places.shape[:2], dtype=torch.bool, device=places.device)
        return Tokens(places, mask, places.mean(dim=1))

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        return self.network.forward_intermediates(pixels, indices=list(self.stages), intermediates_only=True)
