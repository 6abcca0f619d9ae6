"""What a photograph says of itself, and nothing of its position unless asked for."""

import io
from datetime import datetime

import pytest
from PIL import Image

from amodal.data.exif import Exif, read_exif


def photograph(
    tags: dict[int, object], detail: dict[int, object] | None = None, gps: dict[int, object] | None = None
) -> bytes:
    exif, stream = Image.Exif(), io.BytesIO()
    exif.update(tags)
    exif.get_ifd(0x8769).update(detail or {})
    exif.get_ifd(0x8825).update(gps or {})
    Image.new("RGB", (8, 8)).save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def test_date_camera_and_place() -> None:
    gps = {1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 0.0)}
    content = photograph({0x010F: "NIKON CORPORATION", 0x0110: "NIKON D90"}, {0x9003: "2012:12:24 18:00:01"}, gps)
    assert read_exif(content) == Exif(datetime(2012, 12, 24, 18, 0, 1), "NIKON D90")
    assert read_exif(content, place=True) == Exif(datetime(2012, 12, 24, 18, 0, 1), "NIKON D90", -33.86, 151.2)


def test_the_date_of_the_file_stands_in_for_that_of_the_photograph() -> None:
    assert read_exif(photograph({0x0132: "2001:02:03 04:05:06"})).taken == datetime(2001, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("make", "model", "camera"), [("Canon", "EOS 5D", "Canon EOS 5D"), ("", "X100", "X100"), ("Apple", "", "Apple")]
)
def test_the_maker_is_named_once(make: str, model: str, camera: str) -> None:
    assert read_exif(photograph({0x010F: make, 0x0110: model})).camera == camera


@pytest.mark.parametrize("date", ["0000:00:00 00:00:00", "yesterday", ""])
def test_a_date_that_is_none_is_left_out(date: str) -> None:
    assert read_exif(photograph({}, {0x9003: date})).taken is None


def test_damage_is_no_error() -> None:
    assert read_exif(b"no picture") == Exif()
    assert read_exif(photograph({}, None, {2: (1.0, 0.0, 0.0)})[:60], place=True) == Exif()
    half = photograph({}, None, {1: "N", 2: (4.0, 0.0), 3: "E", 4: (1.0, 2.0, 3.0)})
    assert read_exif(half, place=True).latitude is None
