"""Pictures in any form, opened."""

from PIL import Image

from amodal.core.errors import DataError
from amodal.data.pictures import BrokenPicture, FileRef, Picture, picture_ref
from amodal.data.rows import Row


def as_row(picture: Picture, number: int) -> Row:
    """A picture in any form, named by its path or else its number."""
    key, reference = f"picture {number}", picture_ref(picture)
    if isinstance(reference, FileRef):
        key = str(reference.path)
    return Row(key=key, picture=reference, captions=(key,), pair=key)


def opened(picture: Picture, number: int, at_least: int | None = None) -> Image.Image:
    """The picture, decoded as `PictureRef.image` does it. Raises DataError."""
    row = as_row(picture, number)
    try:
        return row.picture.image(at_least)
    except BrokenPicture as error:
        raise unreadable(row.key, str(error)) from error


def unreadable(key: str, reason: str) -> DataError:
    """What is told of a picture that cannot be read; key: its name, which the reason may begin with already."""
    named = reason if reason.startswith(f"{key}: ") else f"{key}: {reason}"
    return DataError(f"{named}; leave it out or mend it")
