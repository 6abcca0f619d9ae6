"""Thumbnails and the retrieval cards."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from amodal.core.errors import DataError
from amodal.runs.gallery import THUMBNAIL, Thumbnails, shown_caption, thumbnail


def decoded(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head in ("data:image/webp;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(body)))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "CMYK", "1"])
def test_thumbnail_of_every_mode_is_small(mode: str) -> None:
    small = decoded(thumbnail(Image.new(mode, (400, 100))))
    assert small.size == (THUMBNAIL, THUMBNAIL // 4)


def test_transparent_stands_on_white_and_small_stays() -> None:
    small = decoded(thumbnail(Image.new("RGBA", (20, 10), (0, 0, 0, 0)))).convert("RGB")
    assert small.size == (20, 10)
    assert np.asarray(small).min() > 245


def test_a_picture_is_decoded_once_and_a_broken_one_gives_a_frame() -> None:
    asked: list[int] = []

    def picture(index: int) -> Image.Image:
        asked.append(index)
        if index == 1:
            raise DataError("row 1: truncated")
        if index == 2:
            raise OSError("gone")
        return Image.new("RGB", (4, 4))

    made = Thumbnails(picture)
    tags = [made.tag(index, 'a "b" <i>') for index in (0, 0, 1, 1, 2)]
    assert asked == [0, 1, 2]
    assert 'alt="a &quot;b&quot; &lt;i&gt;"' in tags[0]
    assert all("<img" not in tag and "cannot be read" in tag for tag in tags[2:])


def test_long_captions_are_cut_and_escaped() -> None:
    assert shown_caption("<b>\n x &  y") == "&lt;b&gt; x &amp; y"
    assert shown_caption("a" * 500) == "a" * 199 + "…"
