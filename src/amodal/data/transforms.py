"""Pictures to tensors: one way for evaluation, random views for training. Draws come from the generator given.

C channels · H W pixels
"""

import math
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Fit = Literal["squash", "crop", "pad"]


def fit_picture(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    """A size x size picture: squashed, the centre cropped, or padded with white; resized with antialiased bicubic."""
    width, height = image.size
    if fit == "squash" or width == height:
        return image.resize((size, size), Image.Resampling.BICUBIC)
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    scale = size / max(width, height)
    inner = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BICUBIC)
    square = Image.new("RGB", (size, size), "white")
    square.paste(inner, ((size - inner.width) // 2, (size - inner.height) // 2))
    return square


def to_tensor(image: Image.Image, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """RGB picture -> (3, H, W) float32, (value / 255 - mean) / std."""
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).float() / 255
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def random_view(
    image: Image.Image,
    size: int,
    draw: torch.Generator,
    *,
    smallest: float = 0.5,
    flip: bool = True,
    rotate: float = 0.0,
    jitter: float = 0.0,
) -> Image.Image:
    """A random resized crop of at least the share `smallest` of the area, perhaps mirrored, turned and recoloured.

    rotate: largest angle in degrees; jitter: largest relative change of brightness and of each channel's gain.
    Mirroring turns pictures that show a direction into their opposite: recipes say whether they want it.
    """
    share = smallest + (1 - smallest) * _uniform(draw)
    aspect = math.exp((2 * _uniform(draw) - 1) * math.log(4 / 3))
    width = min(image.width, max(1.0, math.sqrt(share * aspect) * image.width))
    height = min(image.height, max(1.0, math.sqrt(share / aspect) * image.height))
    left, top = _uniform(draw) * (image.width - width), _uniform(draw) * (image.height - height)
    mirrored, angle = _uniform(draw) < 0.5, (2 * _uniform(draw) - 1) * rotate
    if rotate:
        image = image.rotate(angle, Image.Resampling.BILINEAR, fillcolor="white")
    view = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    if flip and mirrored:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if jitter:
        gain = 1 + jitter * (2 * torch.rand(3, generator=draw).numpy() - 1)
        view = Image.fromarray((np.asarray(view, np.float32) * gain).clip(0, 255).astype(np.uint8))
    return view


def _uniform(draw: torch.Generator) -> float:
    return torch.rand((), generator=draw).item()
