"""The data doctor on pairs made for it: pairs a second, peak memory, and how many of the planted copies it finds.

    python benchmarks/doctor.py [--count 100000] [--workers 2] [--folder FOLDER] [--json]

Each picture is soft random colours, 320 x 240, as JPEG; each caption is some words drawn at random. Every hundredth
picture is a copy of the one before it, recompressed, at half the size and cut by 2 % at each edge. Peak memory is that
of this process, as the system counts it (Linux and macOS).
"""

import argparse
import csv
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from amodal.core.progress import progress

SIZE = (320, 240)
COPY_EVERY = 100
WORDS = [
    first + second for first in ("lan", "mar", "ri", "ca", "sto", "ve") for second in ("tern", "ket", "ver", "sel")
]


def make_pairs(folder: Path, count: int) -> Path:
    """Writes the pictures, in folders of a thousand, and their table. -> the table"""
    draw, table, picture = np.random.default_rng(0), folder / "pairs.csv", Image.new("RGB", SIZE)
    with table.open("w", newline="") as stream, progress("Making", count, "pictures") as bar:
        rows = csv.writer(stream)
        rows.writerow(["image", "caption"])
        for number in range(count):
            name = f"{number // 1000:03}/{number:06}.jpg"
            (folder / name).parent.mkdir(exist_ok=True)
            if is_copy(number):
                copy = picture.crop((6, 5, SIZE[0] - 6, SIZE[1] - 5)).resize((SIZE[0] // 2, SIZE[1] // 2))
                copy.save(folder / name, quality=60)
            else:
                patches = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                picture = Image.fromarray(patches).resize(SIZE, Image.Resampling.BICUBIC)
                picture.save(folder / name, quality=85)
            rows.writerow([name, " ".join(draw.choice(WORDS, 9))])
            bar.update()
    return table


def is_copy(number: int) -> bool:
    """Whether this picture is a copy of the one before it."""
    return number % COPY_EVERY == COPY_EVERY - 1


def measure(table: Path, workers: int) -> dict[str, float]:
    """Time of reading the table and of the examination, peak memory, and what became of the planted copies."""
    from amodal.audit import examine  # here, since every worker imports this file: it need not load torch
    from amodal.data.sources import open_table

    started = time.monotonic()
    opened = open_table(table, max_skipped=1.0)
    read = time.monotonic()
    found = examine(opened, workers=workers)
    seconds = time.monotonic() - read
    near = found.finding("near-duplicate-pictures")
    pairs = {case.rows for case in near.cases} if near is not None else set()
    planted = {(number - 1, number) for number in range(len(opened)) if is_copy(number)}
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "pairs": len(opened),
        "pairs_per_s": len(opened) / seconds,
        "seconds": seconds,
        "seconds_to_read_the_table": read - started,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "copies": len(planted),
        "copies_found": len(planted & pairs),
        "false_alarms": len(pairs - planted),
    }


def main() -> None:
    """Prints one line, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the pairs are made and left; by default they are removed")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(make_pairs(folder, options.count), options.workers)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(
        f"{found['pairs']:,.0f} pairs in {found['seconds']:.0f} s, {found['pairs_per_s']:,.0f} pairs/s with "
        f"{options.workers} workers; peak {found['peak_bytes'] / 1e9:.2f} GB; "
        f"copies found {found['copies_found']:.0f} of "
        f"{found['copies']:.0f}, false alarms {found['false_alarms']:.0f}"
    )


if __name__ == "__main__":
    main()
