"""Where a request's pictures come from: an upload, a file below a folder named at start, or the index."""

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from amodal.app.limits import Limits
from amodal.app.messages import PictureIn
from amodal.app.refusals import Refused
from amodal.data.pictures import PICTURE_SUFFIXES, BrokenPicture, picture_size


def uploaded(data: str, field: str) -> bytes:
    """The bytes of an upload. Raises Refused."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(422, f"this is not base64 ({error}); encode the whole file, without a prefix", field) from error


def below(path: str, folders: Sequence[Path]) -> Path | None:
    """The file that a path names, with symbolic links and `..` resolved, where that lies below one of the folders."""
    given = Path(path)
    for folder in folders:
        try:
            whole = (folder / given).resolve()  # an absolute path replaces the folder
            if whole.is_relative_to(folder.resolve()) and whole.suffix.lower() in PICTURE_SUFFIXES and whole.is_file():
                return whole
        except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, a loop of links
            continue
    return None


def read_file(path: Path, limits: Limits) -> bytes | None:
    """The bytes of a plain file that is not too large; None where it is not there, or is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > limits.bytes:
                return None
            return stream.read(limits.bytes)
    except OSError:
        return None


def check_pixels(data: bytes, limits: Limits, field: str) -> tuple[int, int]:
    """The width and height that a picture says it has. Raises Refused for too many pixels, and for no picture."""
    try:
        width, height = picture_size(data)
    except BrokenPicture as error:
        raise Refused(422, str(error), field) from error
    if width * height > limits.pixels:
        raise Refused(
            413, f"the picture has {width:,} x {height:,} pixels and {limits.pixels:,} are allowed; shrink it", field
        )
    return width, height


class Pictures:
    """Opens the pictures of one request, within its limits. folders: below which a path may lie."""

    def __init__(self, limits: Limits, folders: Sequence[Path]) -> None:
        self.limits, self.folders, self._bytes = limits, folders, 0

    def read(self, picture: PictureIn, field: str) -> bytes:
        """The bytes of an upload or a file. Raises Refused."""
        if picture.path is not None:
            data = self._file(picture.path, f"{field}.path")
        else:
            assert picture.data is not None
            data = uploaded(picture.data, f"{field}.data")
        self._bytes += len(data)
        if self._bytes > self.limits.bytes:
            raise Refused(413, f"the pictures of a request may have {self.limits.bytes:,} bytes together", field)
        check_pixels(data, self.limits, field)
        return data

    def _file(self, path: str, field: str) -> bytes:
        found = below(path, self.folders)
        data = None if found is None else read_file(found, self.limits)
        if data is None:
            raise Refused(
                404,
                "there is no such picture below the folders that were named when the service started, or it is larger "
                f"than {self.limits.bytes:,} bytes",
                field,
            )
        return data


def same_content(data: bytes | None, content: str) -> bool:
    """Whether a file still is what the index read."""
    return data is not None and hashlib.sha256(data).hexdigest() == content
