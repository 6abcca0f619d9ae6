"""Pictures to tensors: one way for evaluation, random views for training. Draws come from the generator given.

C channels · H W pixels
"""

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

Fit = Literal["squash", "crop", "pad"]
Box = tuple[float, float, float, float]
_FEW_PIXELS = 128 * 128  # PIL resizes so few in a tenth of a millisecond


def fit_picture(image: Image.Image, size: int, fit: Fit) -> Tensor:
    """Squashed, the centre cropped, or padded with white; resized with antialiased bicubic. -> (3, size, size) uint8"""
    width, height = image.size
    if fit == "squash" or width == height:
        return _resized(image, (size, size), (0, 0, width, height))
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return _resized(image, (size, size), (left, top, left + side, top + side))
    scale = size / max(width, height)
    inner = _resized(image, (max(1, round(width * scale)), max(1, round(height * scale))), (0, 0, width, height))
    square = torch.full((3, size, size), 255, dtype=torch.uint8)
    top, left = (size - inner.shape[1]) // 2, (size - inner.shape[2]) // 2
    square[:, top : top + inner.shape[1], left : left + inner.shape[2]] = inner
    return square


def _resized(image: Image.Image, size: tuple[int, int], box: Box) -> Tensor:
    """What lies in `box` (left, top, right, bottom), at `size` (width, height). -> (3, height, width) uint8

    Torch computes what PIL does to within rounding, five times as fast, but of whole pixels only and without a look
    beyond the box: when many pixels become fewer, the box is moved by at most half of one.
    """
    width, height = round(box[2] - box[0]), round(box[3] - box[1])
    if width * height <= _FEW_PIXELS or width < size[0] or height < size[1]:
        return pixels_of(image.resize(size, Image.Resampling.BICUBIC, box=box))
    left, top = min(round(box[0]), image.width - width), min(round(box[1]), image.height - height)
    part = image if (width, height) == image.size else image.crop((left, top, left + width, top + height))
    return F.interpolate(pixels_of(part)[None], size[::-1], mode="bicubic", antialias=True)[0]


def pixels_of(image: Image.Image) -> Tensor:
    """The values of an RGB picture, as it is. -> (3, H, W) uint8"""
    return torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1)


def to_tensor(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(3, H, W) uint8 -> (3, H, W) float32, (value / 255 - mean) / std."""
    scale, shift = _scale_and_shift(mean, std)
    return pixels.to(torch.float32, memory_format=torch.contiguous_format).mul_(scale).add_(shift)


@lru_cache(maxsize=8)
def _scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """What a value from 0 to 255 is multiplied by, and what is then added: (3, 1, 1) each."""
    mean_C, std_C = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64)
    return (1 / (255 * std_C)).float()[:, None, None], (-mean_C / std_C).float()[:, None, None]


def random_view(
    image: Image.Image,
    size: int,
    draw: torch.Generator,
    *,
    smallest: float = 0.5,
    flip: bool = True,
    rotate: float = 0.0,
    jitter: float = 0.0,
) -> Tensor:
    """A random resized crop of at least the share `smallest` of the area, perhaps mirrored, turned and recoloured.

    -> (3, size, size) uint8. rotate: largest angle in degrees; jitter: largest relative change of brightness and of
    each channel's gain. Mirroring turns pictures that show a direction into their opposite: recipes say
    whether they want it.
    """
    share = smallest + (1 - smallest) * _uniform(draw)
    aspect = math.exp((2 * _uniform(draw) - 1) * math.log(4 / 3))
    width = min(image.width, max(1.0, math.sqrt(share * aspect) * image.width))
    height = min(image.height, max(1.0, math.sqrt(share / aspect) * image.height))
    left, top = _uniform(draw) * (image.width - width), _uniform(draw) * (image.height - height)
    mirrored, angle = _uniform(draw) < 0.5, (2 * _uniform(draw) - 1) * rotate
    if rotate:
        image = image.rotate(angle, Image.Resampling.BILINEAR, fillcolor="white")
    view = _resized(image, (size, size), (left, top, left + width, top + height))
    if flip and mirrored:
        view = view.flip(2)
    if jitter:
        gain = 1 + jitter * (2 * torch.rand(3, generator=draw) - 1)
        view = (view * gain[:, None, None]).clamp(0, 255).to(torch.uint8)
    return view


def _uniform(draw: torch.Generator) -> float:
    return torch.rand((), generator=draw).item()
