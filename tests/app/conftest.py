"""A service in a process of its own, as people start it: a small trained model, an index of drawn shapes."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

START_SECONDS = 240


class Served:
    """A running service. log: what it said, a file; folder: its pictures; outside: a picture that it may not show."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process, self.log = process, log
        until = time.monotonic() + START_SECONDS
        while not (found := re.search(r"http://\S+:(\d+)/", self.said)):
            assert process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.05)
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=START_SECONDS)
        self.folder = self.outside = Path()

    @property
    def said(self) -> str:
        """Everything it printed."""
        return self.log.read_text(errors="replace")

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.client.post(path, json=body, **options)

    def wait(self) -> None:
        """Until it is warm."""
        until = time.monotonic() + START_SECONDS
        while self.get("/health").status_code != 200:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.1)


@pytest.fixture(scope="session")
def start() -> Callable[..., Any]:
    """with start(folder, "--index", ...) as served: a service whose log lies in the folder; killed at the end."""

    @contextmanager
    def started(folder: Path, *words: object) -> Iterator[Served]:
        log = folder / "serve.log"
        environment = {name: value for name, value in os.environ.items() if name != "AMODAL_TOKEN"}
        with log.open("wb") as stream:
            command = [sys.executable, "-m", "amodal", "serve", "--port", "0", "--device", "cpu", *map(str, words)]
            process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
        try:
            served = Served(process, log)
            yield served
            served.client.close()
        finally:
            process.kill()
            process.wait()

    return started


@pytest.fixture(scope="session")
def gallery(shapes: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pictures` (drawn shapes), their index `pictures.index` by `tiny_run`, and `outside.png`."""
    import amodal

    folder = tmp_path_factory.mktemp("gallery")
    (folder / "pictures" / "below").mkdir(parents=True)
    for number, path in enumerate(sorted(shapes.parent.glob("*-[01].png"))):
        shutil.copy(path, folder / "pictures" / ("below" if number % 5 == 0 else "") / path.name)
    shutil.copy(next(shapes.parent.glob("*-2.png")), folder / "outside.png")
    amodal.load(tiny_run, device="cpu").index(folder / "pictures", folder / "pictures.index")
    return folder


@pytest.fixture(scope="session")
def served(
    gallery: Path, tiny_run: Path, start: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A warm service of the gallery, for tests that leave it as it is."""
    pictures = gallery / "pictures"
    words = ("--index", gallery / "pictures.index", "--folder", pictures, "--runs", tiny_run.parent)
    with start(tmp_path_factory.mktemp("served"), *words) as served:
        served.folder, served.outside = pictures, gallery / "outside.png"
        served.wait()
        yield served
        assert "Traceback" not in served.said
