"""The matrix of all pairs, a tile at a time: what every objective here is computed on, and never kept.

B rows, images of this rank · N columns, texts of all ranks (N = B for one process) · D width · G groups of positives ·
R C rows and columns of a tile
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from amodal.core.ranks import Ranks

TILE = 1024  # rows and columns: its 4 MB stay in a CPU's cache between the product and what is made of it
GPU_TILE = 8192  # there, launches cost more than memory does


class Pairs(NamedTuple):
    """Images of this rank against texts of all ranks, in float32 or float64, positives lying next to each other.

    image_BD, text_ND; row_group_B, column_group_N: ascending numbers, equal for positives of each other.
    """

    image_BD: Tensor
    text_ND: Tensor
    row_group_B: Tensor
    column_group_N: Tensor


def arrange(image_BD: Tensor, text_BD: Tensor, pair_id: Tensor | None, ranks: Ranks) -> Pairs:
    """The pairs of a batch, sorted by group; half precision becomes float32. Every rank has B of them.

    Raises ValueError for sides of different shape.
    """
    image_BD, text_BD = checked(image_BD, text_BD)
    size, text_ND = len(image_BD), ranks.gather(text_BD)
    own = slice(ranks.rank * size, (ranks.rank + 1) * size)
    if pair_id is None:
        column_group_N = torch.arange(len(text_ND), device=text_ND.device)
        return Pairs(image_BD, text_ND, column_group_N[own], column_group_N)
    group_N = ranks.gather(pair_id).unique(return_inverse=True)[1]
    row_group_B, rows = group_N[own].sort(stable=True)
    column_group_N, columns = group_N.sort(stable=True)
    return Pairs(image_BD[rows], text_ND[columns], row_group_B, column_group_N)


def checked(image_BD: Tensor, text_BD: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides, half precision as float32. Raises ValueError when they differ in shape."""
    if image_BD.shape != text_BD.shape:
        raise ValueError(f"image {tuple(image_BD.shape)} and text {tuple(text_BD.shape)} differ in shape")
    if image_BD.dtype in (torch.float32, torch.float64):
        return image_BD, text_BD
    return image_BD.float(), text_BD.float()


def tiles(row_BD: Tensor, column_ND: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Rows, columns and the tile of row_BD column_ND^T in turn; the tile is overwritten by the next one."""
    size = TILE if row_BD.device.type == "cpu" else GPU_TILE
    memory = row_BD.new_empty(min(size, len(row_BD)) * min(size, len(column_ND)))
    for top in range(0, len(row_BD), size):
        rows = slice(top, min(top + size, len(row_BD)))
        for left in range(0, len(column_ND), size):
            columns = slice(left, min(left + size, len(column_ND)))
            tile_RC = memory[: (rows.stop - top) * (columns.stop - left)].view(rows.stop - top, -1)
            torch.mm(row_BD[rows], column_ND[columns].T, out=tile_RC)
            yield rows, columns, tile_RC


class Positives:
    """Where the tiles hold positives: `at` gives (R, C) of bool, or None for a tile with none, which is most."""

    def __init__(self, row_group_B: Tensor, column_group_N: Tensor) -> None:
        self._row_B, self._column_N = row_group_B, column_group_N
        self._rows, self._columns = row_group_B.tolist(), column_group_N.tolist()  # asked once, not at every tile

    def at(self, rows: slice, columns: slice) -> Tensor | None:
        """Which elements of a tile are positives."""
        apart = self._rows[rows.stop - 1] < self._columns[columns.start]
        if apart or self._columns[columns.stop - 1] < self._rows[rows.start]:
            return None
        return self._row_B[rows, None] == self._column_N[None, columns]
