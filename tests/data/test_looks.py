"""The look of a picture: what copies keep, what other pictures do not share."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from amodal.data import looks
from amodal.data.bundled import photos
from amodal.data.looks import Look, alike, look_at, see_all
from amodal.data.pictures import BytesRef, FileRef, PixelRef


def agreement(one: Look, two: Look) -> float:
    return float(alike(one.grey[None], two.grey[None], one.colour[None], two.colour[None])[0])


def apart(one: Look, two: Look) -> int:
    return (one.hash ^ two.hash).bit_count()


def coffee() -> Image.Image:
    return Image.open(photos()["coffee"]).convert("RGB")


def test_the_cosine_transform_is_orthonormal_and_its_lowest_frequencies_lack_the_mean() -> None:
    np.testing.assert_allclose(looks._COSINES @ looks._COSINES.T, np.eye(looks.SIDE), atol=1e-12)
    row, column = looks._LOWEST
    assert len(set(zip(row.tolist(), column.tolist(), strict=True))) == 64
    assert (0, 0) not in zip(row.tolist(), column.tolist(), strict=True)
    assert max(row**2 + column**2) <= 100


def test_copies_look_the_same() -> None:
    picture, squeezed = coffee(), io.BytesIO()
    picture.resize((picture.width // 2, picture.height // 2)).save(squeezed, "JPEG", quality=40)
    cut = round(0.02 * picture.width)
    copies = [
        Image.open(squeezed).convert("RGB"),
        ImageEnhance.Brightness(picture).enhance(1.3),
        picture.crop((cut, cut, picture.width - cut, picture.height - cut)),
    ]
    first = look_at(picture)
    for copy in copies:
        assert apart(first, look_at(copy)) <= 7
        assert agreement(first, look_at(copy)) > 0.97


def test_other_pictures_look_different() -> None:
    seen = [look_at(Image.open(path).convert("RGB")) for path in photos().values()]
    for number, one in enumerate(seen):
        for two in seen[:number]:
            assert apart(one, two) > 15
            assert agreement(one, two) < 0.7


def test_the_same_shape_in_another_colour_is_another_picture() -> None:
    red, green, blue = coffee().split()
    swapped = look_at(Image.merge("RGB", (blue, green, red)))
    assert agreement(look_at(coffee()), swapped) == 0.0


def test_a_flat_picture_has_no_deviation() -> None:
    assert look_at(Image.new("RGB", (50, 40), (200, 10, 10))).deviation == pytest.approx(0, abs=1e-6)


def test_size_is_that_of_the_whole_picture_and_a_broken_one_gives_its_reason(tmp_path: Path) -> None:
    large = io.BytesIO()
    coffee().resize((1600, 800)).save(large, "JPEG")
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(range(48)) * 4)
    seen, pixels, broken = see_all([BytesRef(large.getvalue()), PixelRef(raw, 0, 8, 8), FileRef(tmp_path / "none.jpg")])
    assert not isinstance(seen, str)
    assert not isinstance(pixels, str)
    assert (seen.size, pixels.size) == ((1600, 800), (8, 8))
    assert isinstance(broken, str)
    assert "none.jpg" in broken


def test_size_is_as_the_picture_is_seen() -> None:
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (80, 40), "red").save(turned, "JPEG", exif=exif)
    (seen,) = see_all([BytesRef(turned.getvalue())])
    assert not isinstance(seen, str)
    assert seen.size == (40, 80)
