"""Cached features as the parts of a batch.

V views · N rows · M captions · F width of a tower · B rows of a batch
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from amodal.core.batch import Tokens


class CachedImages:
    """Each row's image features of one of its views, drawn at random. -> image: Tokens"""

    def __init__(self, features_VNF: Tensor) -> None:
        self.features_VNF = features_VNF

    def __call__(self, rows: list[int], own: slice, draw: torch.Generator) -> Mapping[str, Any]:
        """The field `image` of the wanted rows."""
        view = torch.randint(len(self.features_VNF), (len(rows),), generator=draw)
        return {"image": pooled_tokens(self.features_VNF[view[own], rows[own]])}


class CachedTexts:
    """Each row's text features of one of its captions, drawn at random. -> text: Tokens

    features_MF: every caption once; captions: for each row the positions of its captions in it.
    """

    def __init__(self, features_MF: Tensor, captions: Sequence[Sequence[int]]) -> None:
        self.features_MF = features_MF
        self._count = torch.tensor([len(row) for row in captions])
        longest = int(self._count.max())
        self._captions = torch.tensor([[*row, *[row[0]] * (longest - len(row))] for row in captions])

    def __call__(self, rows: list[int], own: slice, draw: torch.Generator) -> Mapping[str, Any]:
        """The field `text` of the wanted rows."""
        which = (torch.rand(len(rows), generator=draw) * self._count[rows]).long()
        return {"text": pooled_tokens(self.features_MF[self._captions[rows[own], which[own]]])}

    def mean_of_captions(self, vector_ME: Tensor) -> Tensor:
        """The mean over each row's captions of what is given for every caption. -> (N, E)"""
        real = torch.arange(self._captions.shape[1]) < self._count[:, None]
        weight = real / self._count[:, None]
        return F.embedding_bag(self._captions, vector_ME, mode="sum", per_sample_weights=weight)


def pooled_tokens(pooled_BF: Tensor) -> Tokens:
    """`Tokens` that hold nothing but the pooled vectors: a sequence of length one."""
    mask = torch.ones(len(pooled_BF), 1, dtype=torch.bool, device=pooled_BF.device)
    return Tokens(pooled_BF[:, None], mask, pooled_BF)
