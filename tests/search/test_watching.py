"""A folder that is watched: each change is answered."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from amodal.core.errors import DataError, UsageError
from amodal.search import watch, watching


def test_changes_are_answered(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "WAIT_MS", 50)
    library.where = library.folder / "photos.index"
    library.update()
    stop = threading.Event()

    def draw() -> None:
        number = 0
        while not stop.wait(0.2):
            library.draw(f"new-{number}.png", "blue")
            number += 1

    drawing = threading.Thread(target=draw)
    drawing.start()
    try:
        watch(str(library.folder), library.update, ignored=str(library.where), rounds=2)
    finally:
        stop.set()
        drawing.join()
    assert len(library.index()) > 12


def test_what_cannot_be_read_now_is_tried_again(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "WAIT_MS", 50)
    asked, said, stop = [], [], threading.Event()

    def changed() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise DataError("half written")

    def draw() -> None:
        while not stop.wait(0.2):
            library.draw("again.png", "blue", seed=len(asked))

    drawing = threading.Thread(target=draw)
    drawing.start()
    try:
        watch(str(library.folder), changed, rounds=2, say=said.append)
    finally:
        stop.set()
        drawing.join()
    assert (len(asked), said) == (2, ["half written (still watching)"])


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be watched"):
        watch(str(tmp_path / "nowhere"), lambda: None)


def test_without_the_extra_the_way_out_is_told(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(UsageError, match=r"pip install amodal\[search\]"):
        watch(str(library.folder), lambda: None)
