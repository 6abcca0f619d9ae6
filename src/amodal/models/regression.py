"""Alignment that is solved, not trained: pictures regressed onto the space that a frozen text tower already has.

Where pairs are few, a trained text head bends to the words it is shown and moves the others anyhow. Here words stay
where the text tower puts them and only pictures move: DeViSE (Frome et al. 2013) by kernel ridge regression (Saunders
et al. 1998).

N rows · A anchors · F width of the image features · E width of the text features
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.models.dual_encoder import Standardise

LARGEST = 4.0  # standard deviations; what lies further out says no more
STEPS = 127 / LARGEST  # anchors are kept in 8 bits
_BLOCK = 4096


class WordSpace(nn.Module):
    """A text tower's pooled vectors (B, E), centred and halfway whitened. -> (B, E) of unit length

    Whitening (Su et al. 2021) by the covariance to the power -1/4 and not -1/2: a few directions no longer decide what
    is near, and noise is not blown up to their size.
    """

    mean_E: Tensor
    whitening_EE: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean_E", torch.zeros(width))
        self.register_buffer("whitening_EE", torch.eye(width))

    @torch.no_grad()
    def fit_inputs(self, pooled_NE: Tensor) -> None:
        """Measures mean and covariance of these rows."""
        mean_E = pooled_NE.mean(dim=0)
        centred = (pooled_NE - mean_E).double()
        value_E, direction_EE = torch.linalg.eigh(centred.T @ centred / len(centred))
        gain_E = (value_E / value_E.mean()).clamp(min=1e-4) ** -0.25
        self.mean_E.copy_(mean_E)
        self.whitening_EE.copy_((direction_EE * gain_E) @ direction_EE.T)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, E) -> (B, E) of unit length."""
        return F.normalize((pooled - self.mean_E) @ self.whitening_EE, dim=-1)


class KernelRegression(nn.Module):
    """An image tower's pooled vectors (B, F) -> where their words should lie, (B, E) of unit length.

    The kernel is 1 / (1 + d/2), d the mean squared difference of standardised features. Of more rows than `anchors`
    a random part become anchors and all rows decide the weights (Nystroem's method, Williams & Seeger 2000): N A^2
    steps of arithmetic; A (F + 4 E) bytes as stored, 4 A F more in use.
    """

    anchor_AF: Tensor
    weight_AE: Tensor
    point_AF: Tensor  # the anchors in standard deviations, and their squared lengths: unpacked once, not at every call
    square_A: Tensor

    def __init__(self, width: int, out: int, *, anchors: int, ridge: float = 0.1) -> None:
        super().__init__()
        self.inputs = Standardise(width, root=True)
        self.ridge = ridge
        self.register_buffer("anchor_AF", torch.zeros(anchors, width, dtype=torch.int8))
        self.register_buffer("weight_AE", torch.zeros(anchors, out))  # an anchor that is not used weighs nothing
        self.register_buffer("point_AF", torch.zeros(anchors, width), persistent=False)
        self.register_buffer("square_A", torch.zeros(anchors), persistent=False)
        self.register_load_state_dict_post_hook(_unpack)

    def fit_inputs(self, pooled_NF: Tensor) -> None:
        """Standardises by these rows."""
        self.inputs.fit(pooled_NF)

    @torch.no_grad()
    def solve(self, pooled_NF: Tensor, target_NE: Tensor, draw: torch.Generator) -> None:
        """Finds the weights that bring these rows nearest to their targets. draw: picks the anchors."""
        rows, count = len(pooled_NF), min(len(pooled_NF), len(self.anchor_AF))
        chosen = torch.randperm(rows, generator=draw)[:count] if count < rows else slice(None)
        self.anchor_AF.zero_()
        self.weight_AE.zero_()
        self.anchor_AF[:count] = (self._clipped(pooled_NF[chosen]) * STEPS).round().to(torch.int8)
        _unpack(self)
        kernel_AA = self._kernel(self.point_AF[:count])[:, :count]
        if count == rows:
            self.weight_AE[:count] = _solve(kernel_AA + self.ridge * torch.eye(count).to(kernel_AA), target_NE)
            return
        gram_AA = self.ridge * kernel_AA.double() + 1e-7 * rows * torch.eye(count).to(kernel_AA)  # two may be equal
        moment_AE = torch.zeros_like(self.weight_AE[:count], dtype=torch.double)
        for rows_NF, aims_NE in zip(pooled_NF.split(_BLOCK), target_NE.split(_BLOCK), strict=True):
            kernel_NA = self._kernel(self._clipped(rows_NF))[:, :count].double()
            gram_AA += kernel_NA.T @ kernel_NA
            moment_AE += kernel_NA.T @ aims_NE.double()
        self.weight_AE[:count] = _solve(gram_AA, moment_AE)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, F) -> (B, E) of unit length."""
        return F.normalize(self._kernel(self._clipped(pooled)) @ self.weight_AE, dim=-1)

    def _clipped(self, pooled: Tensor) -> Tensor:
        return self.inputs(pooled).clamp(-LARGEST, LARGEST)

    def _kernel(self, x_BF: Tensor) -> Tensor:
        distance_BA = x_BF.square().sum(1, keepdim=True) + self.square_A - 2 * x_BF @ self.point_AF.T
        return 1 / (1 + distance_BA.clamp(min=0) / (2 * x_BF.shape[1]))


def _unpack(head: KernelRegression, loaded: object = None) -> None:
    """Brings what is derived from the anchors up to date, also after a state was loaded."""
    head.point_AF.copy_(head.anchor_AF).div_(STEPS)
    head.square_A.copy_(head.point_AF.square().sum(1))


def _solve(positive_AA: Tensor, right_AE: Tensor) -> Tensor:
    return torch.cholesky_solve(right_AE, torch.linalg.cholesky(positive_AA))


class TrainedAndSolved(nn.Module):
    """A head that is trained and one that is solved, side by side: (B, F) -> (B, D + E), each of length 1/sqrt(2).

    The inner product of two such vectors is the mean of both cosines, so that they are one unit vector to everyone
    downstream. While training, only the trained head's (B, D) is given: the other has nothing left to learn.
    """

    def __init__(self, trained: nn.Module, solved: WordSpace | KernelRegression) -> None:
        super().__init__()
        self.trained, self.solved = trained, solved

    def fit_inputs(self, pooled_NF: Tensor) -> None:
        """Measures the inputs of both."""
        for head in (self.trained, self.solved):
            head.fit_inputs(pooled_NF)  # pyright: ignore[reportCallIssue]

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, F) -> (B, D + E) of unit length; while training (B, D)."""
        if self.training:
            return self.trained(pooled)
        return torch.cat([self.trained(pooled), self.solved(pooled)], dim=-1) / 2**0.5
