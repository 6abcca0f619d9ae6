"""Negatives that were mined for single pairs and count for no other pair of the batch.

B pairs · K negatives of each · D width
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from amodal.core.ranks import Ranks


class Mined(NamedTuple):
    """Of each pair K texts that are hard for its image, and K images that are hard for its text.

    text_BKD, image_BKD: of unit length; text_id_BK, image_id_BK: their pair ids, -1 where there is none. One with the
    id of the pair itself is no negative.
    """

    text_BKD: Tensor
    text_id_BK: Tensor
    image_BKD: Tensor
    image_id_BK: Tensor

    def cosines(
        self, image_BD: Tensor, text_BD: Tensor, pair_id: Tensor | None, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor]:
        """An order of the pairs that puts equal ids together, and in this order the cosines (B, K) of each image with
        its texts and of each text with its images, -inf where there is no negative.

        Raises ValueError for pairs without ids, and on several ranks.
        """
        if pair_id is None or ranks.count > 1:
            raise ValueError("mined negatives need the pair_id of the batch, and one process")
        order_B = pair_id.argsort(stable=True)
        wide = torch.promote_types(image_BD.dtype, torch.float32)
        sides = ((image_BD, self.text_BKD, self.text_id_BK), (text_BD, self.image_BKD, self.image_id_BK))
        text_BK, image_BK = (
            torch.einsum("bd,bkd->bk", anchor_BD.to(wide), other_BKD.to(wide)).masked_fill(
                (id_BK < 0) | (id_BK == pair_id[:, None]), -math.inf
            )[order_B]
            for anchor_BD, other_BKD, id_BK in sides
        )
        return order_B, text_BK, image_BK
