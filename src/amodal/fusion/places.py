"""Where each place of a picture is, told to a network by adding a vector to it.

B rows · P places, row by row · D width · R rows and C columns of the grid
"""

import math

import torch
from torch import Tensor, nn


class SinePlaces(nn.Module):
    """Sines of the row in one half of the width, of the column in the other (Vaswani et al. 2017; DETR, Carion et al.
    2020). Nothing is learnt.

    Raises ValueError for a width that is no multiple of four.
    """

    table: Tensor

    def __init__(self, width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        if width % 4:
            raise ValueError(f"a width of {width} cannot hold sines and cosines of two axes; give a multiple of 4")
        self.grid = grid
        rows, columns = (order_sines(count, width // 2, reach=count) for count in grid)
        self.register_buffer("table", _both(rows, columns), persistent=False)

    def forward(self, x_BPD: Tensor, mask_BP: Tensor) -> Tensor:
        """The places with where they are added. -> (B, P, D)"""
        return _added(x_BPD, mask_BP, self.table, self.grid)


class LearntPlaces(nn.Module):
    """A learnt vector a row in one half of the width, one a column in the other. Raises ValueError for an odd width."""

    def __init__(self, width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"a width of {width} cannot be halved between rows and columns; give an even one")
        self.grid = grid
        self.rows = nn.Parameter(0.02 * torch.randn(grid[0], width // 2))
        self.columns = nn.Parameter(0.02 * torch.randn(grid[1], width // 2))

    def forward(self, x_BPD: Tensor, mask_BP: Tensor) -> Tensor:
        """The places with where they are added. -> (B, P, D)"""
        return _added(x_BPD, mask_BP, _both(self.rows, self.columns), self.grid)


def order_sines(count: int, width: int, *, reach: int = 16) -> Tensor:
    """Where each of so many words or places stands in its row, as sines and cosines (Vaswani et al. 2017).

    reach: wave lengths go from four to four times this; as it is, from neighbours to a sentence. -> (count, width)
    """
    lengths = 4 * torch.logspace(0, 1, width // 2, base=float(reach))
    angle = 2 * torch.pi * torch.arange(count)[:, None] / lengths
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def centres(grid: tuple[int, int]) -> Tensor:
    """The middle of each place as a share of the picture's width and height: x, y. -> (R C, 2)"""
    y, x = ((torch.arange(count) + 0.5) / count for count in grid)
    return torch.stack([x.repeat(grid[0]), y.repeat_interleave(grid[1])], dim=1)


def check_filled(mask_BP: Tensor, grid: tuple[int, int]) -> None:
    """Raises ValueError when places do not fill a grid; what stands behind it must be padding."""
    places, size = math.prod(grid), mask_BP.shape[1]
    if size < places or mask_BP[:, places:].any():
        raise ValueError(f"{size} places do not fill a grid of {grid[0]} x {grid[1]}; give the grid of the image tower")


def _both(row_RD: Tensor, column_CD: Tensor) -> Tensor:
    """-> (R C, D)"""
    return torch.cat([row_RD.repeat_interleave(len(column_CD), dim=0), column_CD.repeat(len(row_RD), 1)], dim=1)


def _added(x_BPD: Tensor, mask_BP: Tensor, table_PD: Tensor, grid: tuple[int, int]) -> Tensor:
    """Padding behind the grid is left as it is."""
    check_filled(mask_BP, grid)
    places = len(table_PD)
    return torch.cat([x_BPD[:, :places] + table_PD, x_BPD[:, places:]], dim=1)
