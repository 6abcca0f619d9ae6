"""Encoded pictures in, RGB pictures as a person sees them out; and references to where a picture's bytes lie.

Refuses, as `BrokenPicture` with the reason, whatever is not a whole picture of a sane size. Fetches nothing and
changes none of PIL's settings, but with `amodal[heic]` PIL reads HEIF, too. Colour profiles are not applied: values are
read as sRGB.
"""

import hashlib
import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from PIL import Image, UnidentifiedImageError

from amodal.core.errors import DataError

MAX_PIXELS = 178_956_970
"""Width times height beyond which a picture is refused before anything is decoded (a decompression bomb)."""

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".heic", ".heif"}
)

# Only formats PIL decodes by itself, and HEIF with `amodal[heic]`: EPS, for one, would start another program.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "HEIF")
_HEIF = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc", b"ftypheim", b"ftypheis", b"ftypmsf1")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WHITE = (255, 255, 255)
_EXIF_ORIENTATION = 0x0112
_SIGNATURES: Mapping[bytes, str] = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}
# What PIL's decoders raise on damaged input. Warnings are among them for programs that turn warnings into errors.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Warning,
)


class BrokenPicture(DataError):
    """A picture that cannot be read: missing, empty, cut short, of an unknown format, or absurdly large."""


class UnreadPicture(BrokenPicture):
    """A picture that may well be whole: its bytes cannot be had now, or what reads its format is not installed."""


def decode_picture(
    content: bytes, *, background: tuple[int, int, int] = _WHITE, at_least: int | None = None
) -> Image.Image:
    """The picture in `content` as RGB, the way a person sees it.

    EXIF orientation is applied; transparency is laid over `background`; of an animation the first frame is taken;
    16-bit grey is scaled, not clipped; 32-bit grey too (integers up to 65535 and floats up to 1 by that range, others
    from their least to their greatest value).
    at_least: JPEG only, decode at a reduced scale whose shorter side is still at least twice this many pixels.
    Raises BrokenPicture with the reason.
    """
    if not content:
        raise BrokenPicture("the picture is empty (zero bytes); copy it again or remove it")
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            _check_size(image)
            if at_least is not None and image.format in ("JPEG", "MPO"):
                image.draft(None, (2 * at_least, 2 * at_least))
            image.load()
            turn = _TURNS.get(_orientation(image))
            seen = _as_rgb(image, background)
            return seen if turn is None else seen.transpose(turn)
    except UnidentifiedImageError:
        raise BrokenPicture(_what_it_looks_like(content)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenPicture(f"the picture has too many pixels ({error}); shrink it first") from error
    except DECODE_ERRORS as error:
        raise BrokenPicture(_damaged(error)) from error


def picture_size(content: bytes) -> tuple[int, int]:
    """(width, height) of an encoded picture as it is seen, from its header alone. Raises BrokenPicture."""
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            width, height = image.size
            return (height, width) if _orientation(image) >= 5 else (width, height)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BrokenPicture(f"the picture has too many pixels ({error}); shrink it first") from error
    except DECODE_ERRORS as error:
        raise BrokenPicture(_what_it_looks_like(content)) from error


def media_type(content: bytes) -> str:
    """The type of an encoded picture, such as image/jpeg, by its header. Raises BrokenPicture."""
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            return Image.MIME.get(image.format or "", "application/octet-stream")
    except (*DECODE_ERRORS, Image.DecompressionBombError) as error:
        raise BrokenPicture(_what_it_looks_like(content)) from error


def check_format(content: bytes) -> None:
    """Raises UnreadPicture for a picture of a format that an extra reads which is not installed."""
    if _lacks_heif(content):
        raise UnreadPicture(_what_it_looks_like(content))


def _lacks_heif(content: bytes) -> bool:
    return content[4:12] in _HEIF and "HEIF" not in _formats()


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    Image.init()
    try:
        from pillow_heif import register_heif_opener

        register_heif_opener()
    except ImportError:
        pass  # what such a picture needs is said where one comes
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width <= 0 or height <= 0:
        raise BrokenPicture(f"the picture says it is {width} by {height} pixels; remove it")
    if width * height > MAX_PIXELS:
        raise BrokenPicture(
            f"the picture has too many pixels ({width} by {height}, the limit is {MAX_PIXELS}); shrink it first"
        )


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8. Damaged EXIF does not damage the picture: it counts as upright."""
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except DECODE_ERRORS:
        return 1


def _as_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    if image.mode[0] in "IF":
        image = _eight_bit(image)
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, (*background, 255))
        canvas.alpha_composite(image.convert("RGBA"))
        image = canvas
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


def _eight_bit(image: Image.Image) -> Image.Image:
    """Deep grey (I;16, I, F) to L, or to LA where one value stands for transparent."""
    deep = np.asarray(image)
    values = np.nan_to_num(deep.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    top = 1.0 if image.mode == "F" else 65535.0
    if low >= 0 and high <= top:
        low, high = 0.0, top
    grey = Image.fromarray(np.rint((values - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(deep == clear, 0, 255).astype(np.uint8)))
    return grey


def _damaged(error: BaseException) -> str:
    return f"the picture is damaged or cut short ({str(error) or type(error).__name__}); copy it again or remove it"


def _what_it_looks_like(content: bytes) -> str:
    """Why no decoder took the content, in words."""
    for signature, name in _SIGNATURES.items():
        if content.startswith(signature):
            return f"the picture begins like {name} but its header is damaged, cut short, or says zero pixels"
    if _lacks_heif(content):
        return "the picture is HEIC; to read it: pip install amodal[heic]"
    head = content[:40]
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        return f"this is text, not a picture (it begins {head.decode('ascii')!r})"
    return f"no known picture format (it begins with the bytes {head[:8].hex(' ')}); save it as JPEG or PNG"


@runtime_checkable
class PictureRef(Protocol):
    """Where a picture lies. Small and picklable, so that rows travel to worker processes."""

    def image(self, at_least: int | None = None) -> Image.Image:
        """The decoded RGB picture (see `decode_picture`). Raises BrokenPicture with the path."""
        ...

    def content(self) -> bytes:
        """Bytes that identify the picture, for caches. Raises BrokenPicture with the path."""
        ...

    def identity(self, base: Path | None = None) -> str:
        """A cheap name for fingerprints: paths relative to `base` and sizes, without reading the picture."""
        ...


@dataclass(frozen=True)
class FileRef:
    """A picture in a file of its own."""

    path: Path

    def content(self) -> bytes:
        return _read(self.path)

    def image(self, at_least: int | None = None) -> Image.Image:
        return _decode_from(self.content(), str(self.path), at_least)

    def identity(self, base: Path | None = None) -> str:
        try:
            size = self.path.stat().st_size
        except OSError:
            size = -1
        return f"file {_relative(self.path, base)} {size}"


@dataclass(frozen=True)
class SpanRef:
    """A picture in `length` bytes from `offset` of a larger file, such as an uncompressed tar."""

    path: Path
    offset: int
    length: int

    def content(self) -> bytes:
        return _read(self.path, self.offset, self.length)

    def image(self, at_least: int | None = None) -> Image.Image:
        return _decode_from(self.content(), f"{self.path} at byte {self.offset}", at_least)

    def identity(self, base: Path | None = None) -> str:
        return f"span {_relative(self.path, base)} {self.offset} {self.length}"


@dataclass(frozen=True)
class BytesRef:
    """An encoded picture held in memory."""

    data: bytes

    def content(self) -> bytes:
        return self.data

    def image(self, at_least: int | None = None) -> Image.Image:
        return decode_picture(self.data, at_least=at_least)

    def identity(self, base: Path | None = None) -> str:
        return f"bytes {hashlib.sha256(self.data).hexdigest()}"


@dataclass(frozen=True)
class ImageRef:
    """A PIL image held in memory; what its EXIF says of its orientation is taken as done."""

    held: Image.Image

    def content(self) -> bytes:
        seen = self.image()
        return f"RGB {seen.height} {seen.width}\n".encode() + seen.tobytes()

    def image(self, at_least: int | None = None) -> Image.Image:
        try:
            self.held.load()
            return _as_rgb(self.held, _WHITE)
        except DECODE_ERRORS as error:
            raise BrokenPicture(_damaged(error)) from error

    def identity(self, base: Path | None = None) -> str:
        return f"image {hashlib.sha256(self.content()).hexdigest()}"


@dataclass(frozen=True)
class PixelRef:
    """Raw 8-bit RGB from `offset` of a file: "planar" is all red, then green, then blue (CIFAR)."""

    path: Path
    offset: int
    height: int
    width: int
    layout: Literal["planar", "interleaved"] = "planar"

    def content(self) -> bytes:
        return f"{self.layout} {self.height} {self.width}\n".encode() + self._raw()

    def image(self, at_least: int | None = None) -> Image.Image:
        values = np.frombuffer(self._raw(), dtype=np.uint8)
        if self.layout == "planar":
            pixels = values.reshape(3, self.height, self.width).transpose(1, 2, 0)
        else:
            pixels = values.reshape(self.height, self.width, 3)
        return Image.fromarray(np.ascontiguousarray(pixels))

    def identity(self, base: Path | None = None) -> str:
        return f"pixels {_relative(self.path, base)} {self.offset} {self.height} {self.width} {self.layout}"

    def _raw(self) -> bytes:
        return _read(self.path, self.offset, 3 * self.height * self.width)


Picture = str | Path | bytes | Image.Image
"""A picture in any form that a person may hand over."""


def picture_ref(picture: Picture) -> PictureRef:
    """Where a picture in any form lies."""
    if isinstance(picture, bytes):
        return BytesRef(picture)
    return ImageRef(picture) if isinstance(picture, Image.Image) else FileRef(Path(picture))


def _decode_from(content: bytes, place: str, at_least: int | None) -> Image.Image:
    try:
        return decode_picture(content, at_least=at_least)
    except BrokenPicture as broken:
        raise BrokenPicture(f"{place}: {broken}") from broken


def _read(path: Path, offset: int = 0, length: int | None = None) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            content = stream.read() if length is None else stream.read(length)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadPicture(f"{path}: cannot be read ({reason})") from error
    if length is not None and len(content) < length:
        raise BrokenPicture(f"{path}: ends {length - len(content)} bytes before the picture at byte {offset} does")
    return content


def _relative(path: Path, base: Path | None) -> str:
    if base is None:
        return path.as_posix()
    absolute = path.absolute()
    return absolute.relative_to(base).as_posix() if absolute.is_relative_to(base) else absolute.as_posix()
