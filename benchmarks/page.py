"""The page as a person feels it: from the last key to the first picture drawn, over 100,000 pictures.

    pip install --group bench        # playwright, lancedb; a Chromium, as `apt install chromium`
    python benchmarks/page.py [--count 100000] [--queries 30] [--index FOLDER]

The index is the packaged model's own, of its bundled photographs, and COUNT rows put beside them: vectors around
centres (as in `benchmarks/index.py`), looks that are no near-duplicates of each other, names of emoji as captions, and
a JPEG thumbnail each, a file each, of 256 drawn ones. It is searched as `amodal index` would choose: exactly, or with
an approximate index where that is measured to be worth it. `amodal serve` runs in a process of its own, and a headless
Chromium types names of emoji at 120 ms a key. The clock runs from the time stamp of the last key's own event to the
frame after the one that holds the first picture of its answer, decoded: pause, request, search, answer, thumbnail and
drawing. Also told: what the service itself took, and from opening the page to the first picture.
"""

import argparse
import hashlib
import io
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from index import around_centres
from PIL import Image

import amodal
from amodal.data import bundled
from amodal.data.looks import CELLS, GREY_SIDE, Look
from amodal.search import Store
from amodal.search.approximate import choose
from amodal.search.rows import packed, words_of

BLOCK = 10_000
DRAWN = 256
KEY = 120  # milliseconds between keys
PAUSE = 400  # milliseconds between queries
PROBE = """(() => {
  const answers = {};
  const plain = window.fetch;
  window.fetch = async (path, options) => {
    const answer = await plain(path, options);
    if (String(path).endsWith("/api/search")) {
      const words = JSON.parse(options.body).terms[0]?.words ?? "";
      const said = await answer.clone().json();
      answers[words] = { first: said.results[0]?.content, service: said.milliseconds };
    }
    return answer;
  };
  let key = 0;
  addEventListener("keydown", (event) => (key = event.timeStamp), true);
  window.drawn = (words, from) => new Promise((done) => {
    const look = () => {
      const tile = document.querySelector(".grid a[data-content]");
      const picture = tile?.querySelector("img");
      const there = answers[words]?.first && tile?.dataset.content === answers[words].first;
      if (!there || !picture.complete || !picture.naturalWidth) return requestAnimationFrame(look);
      requestAnimationFrame(() => done({ seen: performance.now() - (from ?? key), service: answers[words].service }));
    };
    look();
  });
})()"""


def rows_of(count: int, width: int, names: list[str], draw: np.random.Generator) -> Iterator[list[dict[str, Any]]]:
    """Rows of an index, in blocks."""
    centres = draw.normal(size=(max(1, count // 100), width)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    taken = datetime(2020, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    for start in range(0, count, BLOCK):
        vectors = around_centres(min(BLOCK, count - start), width, centres, draw)
        block = []
        for number, vector_D in enumerate(vectors, start):
            name, path = names[number % len(names)], f"{number:07d}.jpg"
            grey = draw.integers(0, 256, GREY_SIDE**2).astype(np.uint8)
            colour = draw.integers(0, 256, 2 * CELLS**2).astype(np.uint8)
            look = Look(int(draw.integers(0, 2**63)), grey, colour, 50.0)
            block.append(
                {
                    "source": "synthetic",
                    "path": path,
                    "mark": path,
                    "content": hashlib.sha256(path.encode()).hexdigest(),
                    "captions": [name],
                    "words": words_of(path, name),
                    "date": taken + timedelta(minutes=number),
                    "look": packed(look),
                    "vector": vector_D,
                }
            )
        yield block


def drawn_thumbnails(draw: np.random.Generator) -> list[bytes]:
    """JPEGs of soft colours in several shapes."""
    made = []
    for number in range(DRAWN):
        coarse = draw.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        shape = ((256, 192), (192, 256), (256, 256))[number % 3]
        stream = io.BytesIO()
        Image.fromarray(coarse).resize(shape, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=80)
        made.append(stream.getvalue())
    return made


def build(where: Path, count: int, names: list[str]) -> None:
    """The index: the packaged model's, of the bundled photographs, and COUNT rows more."""
    with tempfile.TemporaryDirectory() as photos:
        for photo in bundled.photos().values():
            shutil.copy(photo, photos)
        amodal.load().index(photos, str(where))
    store, draw = Store(str(where)), np.random.default_rng(0)
    found = store.growing()
    assert found is not None
    table, settings = found
    thumbnails = drawn_thumbnails(draw)
    for block in rows_of(count, settings.dimension, names, draw):
        store.put(table, block, known=False)
        store.thumbnails.keep({row["content"]: thumbnails[n % DRAWN] for n, row in enumerate(block)})
    store.tidy(table, always=True)
    queries = store.vectors(table, 64)
    way = choose(store, table, queries, lambda line: print(line, file=sys.stderr))
    store.complete(table, "synthetic rows", replace(settings, approximate=way))


@contextmanager
def serving(where: Path) -> Iterator[str]:
    """`amodal serve` on a free port. -> its address"""
    command = [sys.executable, "-u", "-m", "amodal", "serve", "--port", "0", "--index", str(where)]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert service.stdout is not None
    said = ""
    try:
        while "ready" not in said:
            line = service.stdout.readline()
            if not line:
                raise SystemExit(f"amodal serve ended: {said}")
            said += line
        found = re.search(r"http://\S+?(?=/)", said)
        assert found is not None
        yield found[0]
    finally:
        service.terminate()
        service.wait()


def measure(address: str, queries: list[str]) -> dict[str, Any]:
    """Types each query and waits for its first picture."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
    felt, service = [], []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=flags)
        page = browser.new_page(viewport={"width": 1440, "height": 900}, base_url=address)
        page.add_init_script(PROBE)
        page.goto("/")
        opened = page.evaluate("window.drawn('', 0)")["seen"]
        for number, query in enumerate(queries):
            page.locator("#box").fill("")
            page.wait_for_timeout(PAUSE)
            page.locator("#box").press_sequentially(query[:-1], delay=KEY)  # which also waits behind its last key
            page.evaluate("words => void (window.looking = window.drawn(words))", query)
            page.locator("#box").press_sequentially(query[-1])
            said = page.evaluate("window.looking")
            if number:  # the first warms up
                felt.append(said["seen"])
                service.append(said["service"])
        browser.close()
    return {"opened": opened, "felt": felt, "service": service}


def main() -> None:
    """Builds, serves, types, tells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--index", type=Path, help="kept here, and used as it is where it is there")
    options = parser.parse_args()
    names = sorted({row["name"] for row in bundled.load_languages("en").to_pylist() if row["name"].isascii()})
    with tempfile.TemporaryDirectory() as folder:
        where = options.index or Path(folder) / "synthetic.index"
        started = time.perf_counter()
        if not where.exists():
            build(where, options.count, names)
        print(f"index: {time.perf_counter() - started:.0f} s", file=sys.stderr)
        plain = [name for name in names if re.fullmatch(r"[a-z]+ ?[a-z]+", name)]
        picked = np.random.default_rng(1).choice(plain, options.queries + 1, replace=False).tolist()
        with serving(where) as address:
            said = measure(address, picked)
    told = {"pictures": options.count, "queries": len(said["felt"]), "opened": round(said["opened"])}
    for name in ("felt", "service"):
        told[name] = {
            "median": round(statistics.median(said[name])),
            "p95": round(float(np.percentile(said[name], 95))),
            "least": round(min(said[name])),
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
