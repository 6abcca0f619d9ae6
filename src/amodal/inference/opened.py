"""Pictures in any form opened, and put with texts before a model that learnt from scenes."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image

from amodal.core.batch import Batch
from amodal.core.errors import DataError
from amodal.data.pictures import BrokenPicture, FileRef, Picture, picture_ref
from amodal.data.rows import Row
from amodal.features import prepare_view
from amodal.recipes.scene_data import Towers


class Opened(NamedTuple):
    """A decoded picture and its name for messages."""

    key: str
    image: Image.Image


def as_row(picture: Picture, number: int) -> Row:
    """A picture in any form, named by its path or else its number."""
    key, reference = f"picture {number}", picture_ref(picture)
    if isinstance(reference, FileRef):
        key = str(reference.path)
    return Row(key=key, picture=reference, captions=(key,), pair=key)


def opened(picture: Picture, number: int, at_least: int | None = None) -> Opened:
    """The picture, decoded as `PictureRef.image` does it. Raises DataError."""
    row = as_row(picture, number)
    try:
        return Opened(row.key, row.picture.image(at_least))
    except BrokenPicture as error:
        raise unreadable(row.key, str(error)) from error


def unreadable(key: str, reason: str) -> DataError:
    """What is told of a picture that cannot be read; key: its name, which the reason may begin with already."""
    named = reason if reason.startswith(f"{key}: ") else f"{key}: {reason}"
    return DataError(f"{named}; leave it out or mend it")


def batch_of(towers: Towers, pictures: Sequence[Opened], texts: Sequence[str], about: Sequence[int]) -> Batch:
    """A row a text, with the picture that it is about; the image tower sees each picture once."""
    preprocessing = towers.image.preprocessing
    pixels = torch.stack([prepare_view(each.image, preprocessing, 0) for each in pictures])
    ids, mask = towers.tokenizer(list(texts))
    batch = Batch(
        pair_id=torch.arange(len(texts)),
        key=tuple(pictures[number].key for number in about),
        pixels=pixels.contiguous(memory_format=torch.channels_last),
        ids=ids,
        ids_mask=mask,
        picture=torch.tensor(about),
    )
    return batch.to(towers.device)
