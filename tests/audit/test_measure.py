"""Pictures measured in worker processes, and a worker that dies."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from amodal.audit.measure import measure_pictures
from amodal.core.errors import DataError
from amodal.data.pictures import FileRef


class Killer(FileRef):
    """A picture that takes the process down which reads it, as an overlarge one may where memory is short."""

    def content(self) -> bytes:
        os._exit(9)


def test_workers_give_the_same(source: Any) -> None:
    source.add(b"broken")
    here, there = (measure_pictures(source.rows, workers) for workers in (0, 2))
    for name in ("hashes", "grey", "colour", "deviation"):
        np.testing.assert_array_equal(getattr(here.looks, name), getattr(there.looks, name))
    np.testing.assert_array_equal(here.content, there.content)
    np.testing.assert_array_equal(here.size, there.size)
    assert list(here.broken) == list(there.broken) == [60]
    assert here.readable.tolist() == list(range(60))


def test_a_worker_that_dies_is_told(source: Any) -> None:
    from dataclasses import replace

    rows = [*source.rows, replace(source.rows[0], picture=Killer(Path("x.jpg")))]
    with pytest.raises(DataError, match=r"a process that read pictures died, near 000\.png"):
        measure_pictures(rows, workers=1)


def test_no_rows() -> None:
    measured = measure_pictures([])
    assert measured.readable.tolist() == []


def test_pictures_are_not_held(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any time no more than two decoded pictures exist: the one at hand and the one before it."""
    import gc
    import weakref

    alive: list[weakref.ref] = []
    decode = FileRef.image

    def counted(self: FileRef, at_least: int | None = None) -> Image.Image:
        image = decode(self, at_least)
        gc.collect()
        assert sum(each() is not None for each in alive) <= 1
        alive.append(weakref.ref(image))
        return image

    monkeypatch.setattr(FileRef, "image", counted)
    gc.freeze()  # what was there before need not be gone through each time
    try:
        measure_pictures(source.rows)
    finally:
        gc.unfreeze()
    assert len(alive) == 60
