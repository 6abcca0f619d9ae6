"""Published sets in the layout they are published in, one file a format.

Nothing is fetched; a person points at the folder that was unpacked. A reader that is asked for `annotated` rows gives
boxes, masks, phrase links, regions and questions, too (`amodal.data.annotations`).
"""

from collections.abc import Callable
from pathlib import Path

from amodal.data.published.cifar import cifar_layout, read_cifar
from amodal.data.published.coco import has_coco_captions, read_coco
from amodal.data.published.entities import has_entities, read_entities
from amodal.data.published.flickr import flickr_table, read_flickr
from amodal.data.published.genome import has_genome, read_genome
from amodal.data.published.imagenet import has_synsets, read_imagenet
from amodal.data.published.refcoco import read_refcoco, references
from amodal.data.published.vqa import has_questions, read_vqa
from amodal.data.rows import Table

ANNOTATED: tuple[Callable[..., Table], ...] = (read_coco, read_entities, read_genome, read_refcoco, read_vqa)
"""The readers that know more than captions."""

_LIES_IN: tuple[tuple[Callable[[Path], object], Callable[..., Table]], ...] = (
    (cifar_layout, read_cifar),
    (has_coco_captions, read_coco),
    (has_questions, read_vqa),
    (has_entities, read_entities),
    (flickr_table, read_flickr),
    (has_genome, read_genome),
    (references, read_refcoco),
    (has_synsets, read_imagenet),
)

__all__ = [
    "ANNOTATED",
    "published_reader",
    "read_cifar",
    "read_coco",
    "read_entities",
    "read_flickr",
    "read_genome",
    "read_imagenet",
    "read_refcoco",
    "read_vqa",
]


def published_reader(folder: Path) -> Callable[..., Table] | None:
    """The reader of the published set that lies in `folder`, or None."""
    return next((reader for lies_in, reader in _LIES_IN if lies_in(folder)), None)
