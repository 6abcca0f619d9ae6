"""Pictures in an object store, listed and read under its URL by pyarrow: s3, gs, abfs, file."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import pyarrow as pa
from PIL import Image
from pyarrow import fs

from amodal.core.errors import DataError
from amodal.data.pictures import PICTURE_SUFFIXES, UnreadPicture, decode_picture


@dataclass(frozen=True)
class StoredPicture:
    """A picture (a `PictureRef`) at `path` below the URL `root`. modified: seconds since 1970; size: bytes."""

    root: str
    path: str
    modified: float
    size: int

    @property
    def address(self) -> str:
        """Its own URL."""
        return f"{self.root.partition('?')[0].rstrip('/')}/{self.path}"

    def content(self) -> bytes:
        """The encoded picture. Raises BrokenPicture."""
        try:
            files, root = _opened(self.root)
            with files.open_input_stream(f"{root}/{self.path}") as stream:
                return stream.read()
        except (OSError, pa.ArrowException) as error:
            raise UnreadPicture(f"{self.address}: cannot be read ({error})") from error

    def image(self, at_least: int | None = None) -> Image.Image:
        """Decoded as `decode_picture` does it. Raises BrokenPicture."""
        return decode_picture(self.content(), at_least=at_least)

    def identity(self, base: Path | None = None) -> str:
        """Where it is and how large."""
        return f"stored {self.address} {self.size}"


def list_pictures(root: str) -> Mapping[str, StoredPicture]:
    """path -> every visible picture below a URL, but of an index that lies there. Nothing is read but the list.

    Empty where there is nothing. Raises DataError where the store does not answer.
    """
    try:
        files, base = _opened(root)
        found = files.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{root} cannot be listed ({error}); check the address and your permissions") from error
    inside = {each.path[len(base) :].lstrip("/"): each for each in found}
    indexes = {PurePosixPath(path).parent for path in inside if path.endswith(".lance")}
    return {
        path: StoredPicture(root, path, each.mtime_ns / 1e9, each.size)
        for path, each in sorted(inside.items())
        if each.is_file and PurePosixPath(path).suffix.lower() in PICTURE_SUFFIXES and _counts(path, indexes)
    }


def _counts(path: str, indexes: set[PurePosixPath]) -> bool:
    """Whether a path is visible and belongs to no index."""
    return not any(part.startswith(".") for part in path.split("/")) and indexes.isdisjoint(PurePosixPath(path).parents)


@lru_cache(maxsize=16)
def _opened(root: str) -> tuple[fs.FileSystem, str]:
    """The store of a URL and the path in it; a connection serves all of its pictures."""
    files, base = fs.FileSystem.from_uri(root)
    return files, base.rstrip("/")
