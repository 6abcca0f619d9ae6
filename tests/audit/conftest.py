"""A source to examine: pictures of soft random colours, no two alike, each with a caption of its own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from amodal.data.pictures import FileRef
from amodal.data.rows import Row, SkipLog, Table, caption_pair

WORDS = ("river", "castle", "horse", "market", "lantern", "garden", "bridge", "violin", "harbour", "forest")
HEALTHY = 60


class Source:
    """Rows that tests add to. `picture` and `caption` give what is like no other."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows, self.skipped = folder, list[Row](), SkipLog(1.0)

    def picture(self, seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
        """A picture of a few blurred patches."""
        patches = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        return Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)

    def caption(self, number: int) -> str:
        """A caption of its own for each number below 1,000."""
        hundreds, rest = divmod(number, 100)
        return f"the {WORDS[rest // 10]} by the {WORDS[rest % 10]} on day {hundreds + 1}"

    def add(
        self,
        content: Image.Image | bytes | None = None,
        captions: str | tuple[str, ...] = "",
        split: str = "train",
    ) -> int:
        """Adds a row, by default a healthy one. -> its number"""
        number = len(self.rows)
        path = self.folder / f"{number:03}.png"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            (content or self.picture(number)).save(path)
        said = captions or self.caption(number)
        said = (said,) if isinstance(said, str) else said
        attributes = {"split": split} if split else {}
        pair = caption_pair(said)
        self.rows.append(Row(key=path.name, picture=FileRef(path), captions=said, pair=pair, attributes=attributes))
        return number

    def table(self, classes: tuple[str, ...] | None = None) -> Table:
        """What was added."""
        return Table("planted", self.rows, self.skipped, classes)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """60 healthy rows, the last 15 of them the test split."""
    made = Source(tmp_path)
    for number in range(HEALTHY):
        made.add(split="test" if number >= 45 else "train")
    return made
