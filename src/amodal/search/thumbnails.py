"""Thumbnails, a file each named by its content; and one reading of a picture for all: model, thumbnail and look."""

import io
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image
from pyarrow import fs

from amodal.data.looks import Look, look_at
from amodal.data.pictures import decode_picture

SIDE = 256
"""The longer side of a thumbnail, in pixels."""

_QUALITY = 80
_REQUESTS = 16
"""Requests to an object store at once."""


class Thumbnails:
    """The thumbnails of an index, in a folder or an object store: `thumbnails/ab/abcd....jpg`, each whole or absent.

    Files and no table: of a table, what is deleted stays on the disk until its older versions go.
    """

    def __init__(self, where: str) -> None:
        if "://" in where:
            in_one = "?allow_delayed_open=true" if where.startswith("s3:") else ""  # one request a file, not three
            self._files, self._root = fs.FileSystem.from_uri(f"{where.rstrip('/')}/thumbnails{in_one}")
        else:
            self._files, self._root = fs.LocalFileSystem(), (Path(where).absolute() / "thumbnails").as_posix()
        self._has_folders = isinstance(self._files, fs.LocalFileSystem)
        self._unfinished = f"{self._root}/unfinished"

    def get(self, content: str) -> bytes | None:
        """The JPEG of a content; None where there is none."""
        try:
            with self._files.open_input_stream(self._path(content)) as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def shape(self, content: str) -> tuple[int, int] | None:
        """Width and height of a thumbnail in pixels, as its header says them; None where there is none."""
        jpeg = self.get(content)
        return None if jpeg is None else Image.open(io.BytesIO(jpeg), formats=("JPEG",)).size

    def keep(self, small: Mapping[str, bytes]) -> None:
        """content -> JPEG, written."""
        self._each(self._write, small.items())

    def drop(self, contents: Iterable[str]) -> None:
        """Deletes those that are there."""
        self._each(self._delete, map(self._path, contents))

    def keep_only(self, contents: set[str]) -> set[str]:
        """Deletes all others. -> the contents that have one"""
        selector = fs.FileSelector(self._root, allow_not_found=True, recursive=True)
        found = [each for each in self._files.get_file_info(selector) if each.is_file and each.path != self._unfinished]
        of = {each.path: each.base_name.partition(".")[0] for each in found}
        self._each(self._delete, (path for path, content in of.items() if content not in contents))
        return contents.intersection(of.values())

    def begin(self) -> bool:
        """Notes that changes begin. -> whether those before them were never finished, and may have left some behind"""
        if self._has_folders:
            self._files.create_dir(self._root)
        unfinished = self._files.get_file_info(self._unfinished).is_file
        if not unfinished:
            self._files.open_output_stream(self._unfinished).close()
        return unfinished

    def finish(self) -> None:
        """Notes that the changes are done."""
        self._files.delete_file(self._unfinished)

    def _write(self, one: tuple[str, bytes]) -> None:
        path, jpeg = self._path(one[0]), one[1]
        if self._has_folders:
            self._files.create_dir(path.rpartition("/")[0])
        whole = f"{path}.part" if self._has_folders else path  # an object is there whole or not at all
        with self._files.open_output_stream(whole) as stream:
            stream.write(jpeg)
        if self._has_folders:
            self._files.move(whole, path)

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._files.delete_file(path)

    def _each(self, act: Callable[[Any], None], items: Iterable[Any]) -> None:
        with ThreadPoolExecutor(1 if self._has_folders else _REQUESTS) as pool:
            for _ in pool.map(act, items):
                pass

    def _path(self, content: str) -> str:
        return f"{self._root}/{content[:2]}/{content}.jpg"


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
