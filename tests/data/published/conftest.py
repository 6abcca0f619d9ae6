"""A picture where a published set has one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def put() -> Callable[..., None]:
    """put(path, size=(4, 4)): a JPEG of (width, height), its folder made."""

    def made(path: Path, size: tuple[int, int] = (4, 4)) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (200, 0, 0)).save(path, "JPEG")

    return made
