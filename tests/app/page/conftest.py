"""A real service over a small index of emoji, and a real Chromium in front of it."""

import csv
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from amodal.data import bundled
from tests.app.page.driving import WAIT

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
GROUPS = {
    "animals": (
        "lion",
        "tiger",
        "cat",
        "dog",
        "fox",
        "frog",
        "owl",
        "duck",
        "penguin",
        "elephant",
        "spider",
        "octopus",
    ),
    "food": ("banana", "pineapple", "strawberry", "pizza", "hamburger", "watermelon", "hot beverage", "bread"),
    "travel": ("rocket", "bicycle", "sailboat", "airplane", "ambulance", "helicopter", "tractor", "train"),
}


class Shown(NamedTuple):
    """A running service. pictures: the folder that its index is of; count: how many it began with."""

    address: str
    pictures: Path
    count: int


def emoji_pictures(folder: Path) -> int:
    """Pictures of the emoji in GROUPS, and pairs.csv with a caption, a group and a number of each. -> how many"""
    names = {row["name"]: row["emoji"] for row in bundled.load_languages("en").to_pylist()}
    table = bundled.load_pictures(["noto"])
    data = dict(zip(table["emoji"].to_pylist(), table["image"].to_pylist(), strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for group, things in GROUPS.items():
        for number, name in enumerate(things):
            seen = Image.open(io.BytesIO(data[names[name]])).convert("RGBA").resize((128, 128))
            white = Image.new("RGB", seen.size, "white")
            white.paste(seen, mask=seen.getchannel("A"))
            white.save(folder / f"{group}-{number}.png")
            rows.append((f"{group}-{number}.png", f"{name}, drawn", group, number))
    with (folder / "pairs.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("image", "caption", "group", "number"), *rows])
    return len(rows)


@pytest.fixture(scope="session")
def shown(
    cli: Callable[..., Any],
    start: Callable[..., Any],
    scene_run: Callable[[str], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shown]:
    """A service with an index by the packaged model, a reader and a folder of runs."""
    folder = tmp_path_factory.mktemp("shown")
    count = emoji_pictures(folder / "pictures")
    made = cli("index", folder / "pictures" / "pairs.csv", "--out", folder / "emoji.index")
    assert made.code == 0, made.err
    shutil.copytree(scene_run("matching").folder.path, folder / "runs" / "reader")
    reader, runs = folder / "runs/reader", folder / "runs"
    with start(folder, "--index", folder / "emoji.index", "--reader", reader, "--runs", runs) as served:
        served.wait()
        yield Shown(served.url, folder / "pictures", count)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, gone after each file: while its driver lives, its event loop is in other tests' way. Tests
    that need it are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is tested with: pip install playwright")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed; on Debian: apt install chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def window(browser: Any, shown: Shown) -> Any:
    """What all tests share: the cache of what never changes."""
    return browser.new_context(viewport={"width": 1280, "height": 800}, base_url=shown.address)


@pytest.fixture
def page(window: Any) -> Iterator[Any]:
    """The page at the size of a laptop. What the console says against it fails the test, a refusal by the
    Content-Security-Policy among it."""
    opened = window.new_page()
    opened.set_default_timeout(WAIT)
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    opened.close()
    wrong = [line for line in said if "Failed to load resource" not in line]
    assert not wrong, wrong
