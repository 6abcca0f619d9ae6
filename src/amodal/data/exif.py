"""When and with what a photograph was taken, by its EXIF; where, only when that is asked for."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import Image

from amodal.data.pictures import DECODE_ERRORS

_EXIF, _GPS = 0x8769, 0x8825
_MAKE, _MODEL, _CHANGED, _TAKEN = 0x010F, 0x0110, 0x0132, 0x9003
_LATITUDE, _LONGITUDE = (1, 2), (3, 4)


@dataclass(frozen=True)
class Exif:
    """What a photograph says of itself. taken: by the camera's clock, no zone; degrees north and east."""

    taken: datetime | None = None
    camera: str = ""
    latitude: float | None = None
    longitude: float | None = None


def read_exif(content: bytes, *, place: bool = False) -> Exif:
    """What the header of an encoded picture says; what is missing or damaged is left out. The pixels are not read.

    place: also read the position.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            tags = image.getexif()
            detail, gps = tags.get_ifd(_EXIF), tags.get_ifd(_GPS) if place else {}
            return Exif(
                _moment(detail.get(_TAKEN) or tags.get(_CHANGED)),
                _camera(tags.get(_MAKE), tags.get(_MODEL)),
                _degrees(gps, *_LATITUDE, "S"),
                _degrees(gps, *_LONGITUDE, "W"),
            )
    except DECODE_ERRORS:
        return Exif()


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None


def _camera(make: Any, model: Any) -> str:
    """Maker and model; many models name their maker already."""
    made, named = (" ".join(str(each or "").replace("\0", " ").split()) for each in (make, model))
    return named if not made or named.casefold().startswith(made.split()[0].casefold()) else f"{made} {named}".strip()


def _degrees(gps: Mapping[int, Any], half: int, place: int, below: str) -> float | None:
    try:
        degrees, minutes, seconds = (float(part) for part in gps[place])
        value = degrees + minutes / 60 + seconds / 3600
        return round(-value if str(gps.get(half)).strip("\0 ").upper() == below else value, 6)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
