"""What one picture looks like in a few hundred bytes: a 64-bit hash, a small grey picture, a little colour.

Imports little, since worker processes import it. N pictures · S side of the small picture · P cells of colour
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image

from amodal.data.pictures import BrokenPicture, PictureRef, PixelRef, picture_size

SIDE = 32
"""Side of the picture that the hash is computed from."""

GREY_SIDE = 16
"""Side of the grey picture that is kept."""

CELLS = 4
"""The colours are kept on a grid of so many cells a side."""

RADIUS = 11
"""Bits in which the hashes of near-duplicates may differ."""

AGREE = 0.96
"""Correlation from which two pictures are the same one; see `alike`."""

FLAT = 3.0
"""Grey levels of standard deviation below which a picture shows nothing, and its hash means nothing."""

_DEAD = 0.08
"""A coefficient counts as positive beyond this share of the root mean square: those that are zero but for the noise,
half of them in a symmetric picture, then give the same bit in every copy."""


class Look(NamedTuple):
    """What is kept of a picture. grey: (S*S,) uint8; colour: (P*P*2,) uint8, blue and red difference (Cb, Cr)."""

    hash: int
    grey: np.ndarray
    colour: np.ndarray
    deviation: float


class Seen(NamedTuple):
    """What one reading of a picture gave. content: (2,) uint64, a hash of its bytes; size: (width, height)."""

    content: np.ndarray
    size: tuple[int, int]
    look: Look


def see_all(pictures: Iterable[PictureRef]) -> list[Seen | str]:
    """What is kept of each picture, or why it cannot be read; decoded at a reduced scale where its format can."""
    return [_see(picture) for picture in pictures]


def look_at(image: Image.Image) -> Look:
    """The look of an RGB picture. Its proportions do not count: it is squeezed to a square.

    hash: signs of the 64 lowest frequencies of the cosine transform but the mean (pHash; Zauner 2010).
    """
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=3.0).convert("YCbCr"), np.float64)
    grey_SS = small[..., 0]
    step = SIDE // GREY_SIDE
    kept = grey_SS.reshape(GREY_SIDE, step, GREY_SIDE, step).mean(axis=(1, 3))
    step = SIDE // CELLS
    colour = small[..., 1:].reshape(CELLS, step, CELLS, step, 2).mean(axis=(1, 3))
    frequencies = (_COSINES @ grey_SS @ _COSINES.T)[_LOWEST]
    bits = frequencies > _DEAD * np.sqrt(np.mean(frequencies**2))
    return Look(
        hash=int(np.packbits(bits).view(">u8")[0]),
        grey=np.rint(kept).astype(np.uint8).ravel(),
        colour=np.rint(colour).astype(np.uint8).ravel(),
        deviation=float(grey_SS.std()),
    )


def alike(grey_one: np.ndarray, grey_two: np.ndarray, colour_one: np.ndarray, colour_two: np.ndarray) -> np.ndarray:
    """How far pairs of pictures agree, -1 to 1: the correlation of their grey pictures, or 0 where colours differ.

    The better of the pictures as they are, and with either one's edge cut off. Brightness and contrast do not count.
    grey: (N, S*S), colour: (N, P*P*2), each row one picture of a pair. -> (N,)
    """
    one, two = (_centred(grey.astype(np.float32)) for grey in (grey_one, grey_two))
    best = _correlation(one, two)
    for cut in _CUTS:
        best = np.maximum(best, _correlation(_centred(one @ cut), two))
        best = np.maximum(best, _correlation(one, _centred(two @ cut)))
    first, second = (colour.astype(np.float32) - 128 for colour in (colour_one, colour_two))
    apart = np.sqrt(((first - second) ** 2).mean(axis=1))
    strongest = np.sqrt(np.maximum((first**2).mean(axis=1), (second**2).mean(axis=1)))
    return np.where(apart <= 4 + 0.3 * strongest, best, 0.0)


def distance(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """In how many bits 64-bit hashes differ. -> (C,)"""
    return _ONES[(one ^ two).view(np.uint16).reshape(-1, 4)].sum(axis=1)


def _see(picture: PictureRef) -> Seen | str:
    try:
        content, image = picture.content(), picture.image(SIDE)
        size = image.size if isinstance(picture, PixelRef) else picture_size(content)
    except BrokenPicture as broken:
        return str(broken)
    digest = hashlib.blake2b(content, digest_size=16).digest()
    return Seen(np.frombuffer(digest, np.uint64), size, look_at(image))


def _centred(grey: np.ndarray) -> np.ndarray:
    return grey - grey.mean(axis=1, keepdims=True)


def _correlation(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Of centred rows. -> (N,)"""
    scale = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1)).clip(1e-6)
    return (one * two).sum(axis=1) / scale


def _edge_off(share: float) -> np.ndarray:
    """What cuts `share` of a grey picture off at each edge and brings it back to size. -> (S*S, S*S)"""
    weights = np.array(
        [
            Image.fromarray(row[None]).resize(
                (GREY_SIDE, 1), Image.Resampling.BILINEAR, (share * GREY_SIDE, 0, (1 - share) * GREY_SIDE, 1)
            )
            for row in np.eye(GREY_SIDE, dtype=np.float32)
        ]
    )[:, 0]
    return np.kron(weights, weights)


def _cosines(side: int) -> np.ndarray:
    """Rows of the cosine transform (DCT-II), orthonormal. -> (side, side)"""
    place = np.arange(side)
    rows = np.cos(np.pi * place[:, None] * (2 * place[None, :] + 1) / (2 * side)) * np.sqrt(2 / side)
    rows[0] /= np.sqrt(2)
    return rows


def _lowest(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the 64 lowest frequencies but the mean, the lowest first."""
    row, column = np.divmod(np.arange(side * side), side)
    order = np.argsort(row**2 + column**2, kind="stable")[1:65]
    return row[order], column[order]


_COSINES, _LOWEST = _cosines(SIDE), _lowest(SIDE)
_CUTS = [_edge_off(share) for share in (0.02, 0.04)]
_ONES = np.array([number.bit_count() for number in range(1 << 16)], dtype=np.uint8)
