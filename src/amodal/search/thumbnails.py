"""One reading of a picture's bytes: what the model sees, a thumbnail and a look, from one decoding."""

import io

from PIL import Image

from amodal.data.looks import Look, look_at
from amodal.data.pictures import decode_picture

SIDE = 256
"""The longer side of a thumbnail, in pixels."""

_QUALITY = 80


class ReadPicture:
    """An encoded picture in memory (a `PictureRef`) that keeps a thumbnail and a look of what it was decoded to."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._kept: tuple[bytes, Look] | None = None

    def content(self) -> bytes:
        """The encoded picture."""
        return self.data

    def identity(self, base: object = None) -> str:
        """Not asked for: a path names what is indexed."""
        raise NotImplementedError

    def image(self, at_least: int | None = None) -> Image.Image:
        """Decoded as `decode_picture` does it. Raises BrokenPicture."""
        seen = decode_picture(self.data, at_least=at_least)
        if self._kept is None:
            self._kept = _thumbnail(seen), look_at(seen)
        return seen

    def kept(self) -> tuple[bytes, Look]:
        """The thumbnail as JPEG, and the look. Raises BrokenPicture."""
        if self._kept is None:
            self.image(SIDE)
        assert self._kept is not None
        return self._kept


def _thumbnail(image: Image.Image) -> bytes:
    small = image.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()
