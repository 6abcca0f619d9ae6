"""Sources to examine: pictures of soft random colours, no two alike, each with a caption of its own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from amodal.data.pictures import FileRef
from amodal.data.rows import Row, SkipLog, Table, caption_pair

WORDS = ("river", "castle", "horse", "market", "lantern", "garden", "bridge", "violin", "harbour", "forest")


def soft_picture(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    """A picture of a few blurred patches."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)


def caption(number: int) -> str:
    """A caption of its own for each number below 1,000."""
    hundreds, rest = divmod(number, 100)
    return f"the {WORDS[rest // 10]} by the {WORDS[rest % 10]} on day {hundreds + 1}"


@pytest.fixture
def healthy(tmp_path: Path) -> Callable[..., Table]:
    """healthy(60): a table of so many rows with nothing wrong; the last quarter is the test split."""

    def make(count: int = 60) -> Table:
        rows = []
        for number in range(count):
            path = tmp_path / f"{number:03}.png"
            soft_picture(number).save(path)
            rows.append(row(path, caption(number), "test" if number >= 0.75 * count else "train"))
        return Table("healthy", rows, SkipLog(1.0))

    return make


def row(path: Path, said: str, split: str = "train") -> Row:
    """A row of a picture file; its key is the file's name."""
    return Row(
        key=path.name,
        picture=FileRef(path),
        captions=(said,),
        pair=caption_pair([said]),
        attributes={"split": split} if split else {},
    )
