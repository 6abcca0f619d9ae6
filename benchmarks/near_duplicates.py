"""Which copies of a picture `amodal doctor` finds, and which different pictures it takes for copies.

    python benchmarks/near_duplicates.py [--pieces 40] [--json]

Pieces of the bundled photographs, a quarter to two fifths of their sides, at random places, at least half of each not
in any other, are changed in one way each time; the changed ones and the pieces are then searched together. Beside it
all base emoji of the bundled set, where alarms are counted between different concepts.
"""

import argparse
import io
import json
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from amodal.audit.near import Looks, near_pairs
from amodal.data.bundled import photos
from amodal.data.emoji import bundled_table
from amodal.data.looks import Look, look_at

Change = Callable[[Image.Image], Image.Image]


def compressed(quality: int, image: Image.Image) -> Image.Image:
    """Through a JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def resized(factor: float, image: Image.Image) -> Image.Image:
    """Smaller or larger."""
    return image.resize((max(1, round(factor * image.width)), max(1, round(factor * image.height))))


def cut(share: float, image: Image.Image) -> Image.Image:
    """This share of the side off at each of the four edges."""
    x, y = round(share * image.width), round(share * image.height)
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES: dict[str, Change] = {
    "JPEG at quality 30": partial(compressed, 30),
    "half the size": partial(resized, 0.5),
    "a third of the size": partial(resized, 1 / 3),
    "twice the size": partial(resized, 2),
    "cut by 1 % at each edge": partial(cut, 0.01),
    "cut by 2 %": partial(cut, 0.02),
    "cut by 3 %": partial(cut, 0.03),
    "cut by 5 %": partial(cut, 0.05),
    "brighter by 30 %": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "darker by 30 %": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "contrast up by 30 %": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "mirrored": ImageOps.mirror,
}


def pieces(count: int) -> list[Image.Image]:
    """At most `count` pieces of each photograph."""
    draw, found = np.random.default_rng(0), []
    for path in photos().values():
        picture, taken = Image.open(path).convert("RGB"), list[tuple[float, float, float]]()
        for _ in range(count):
            side = draw.uniform(0.25, 0.4)
            x, y = draw.uniform(0, 1 - side, 2)
            if any(_overlap((x, y, side), other) > 0.5 * min(side, other[2]) ** 2 for other in taken):
                continue
            taken.append((x, y, side))
            box = [x * picture.width, y * picture.height, (x + side) * picture.width, (y + side) * picture.height]
            found.append(picture.crop((round(box[0]), round(box[1]), round(box[2]), round(box[3]))))
    return found


def _overlap(one: tuple[float, float, float], two: tuple[float, float, float]) -> float:
    wide, high = (min(one[a] + one[2], two[a] + two[2]) - max(one[a], two[a]) for a in (0, 1))
    return max(wide, 0.0) * max(high, 0.0)


def search(seen: Sequence[Look]) -> set[tuple[int, int]]:
    """The pairs that are taken for copies."""
    looks = Looks(
        np.array([look.hash for look in seen], np.uint64),
        np.stack([look.grey for look in seen]),
        np.stack([look.colour for look in seen]),
        np.array([look.deviation for look in seen]),
    )
    return {pair[:2] for pair in near_pairs(looks, np.arange(len(seen)))}


def main() -> None:
    """Prints a line for each way of copying, and one for the emoji; or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", type=int, default=40, help="of each photograph, at most")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    originals = pieces(options.pieces)
    seen, count, results = [look_at(piece) for piece in originals], len(originals), {}
    for name, change in CHANGES.items():
        found = search([*seen, *(look_at(change(piece)) for piece in originals)])
        true = {(number, number + count) for number in range(count)}
        results[name] = {"found": len(found & true) / count, "false_pairs": len(found - true)}
    rows = bundled_table().rows
    alarms = [(a, b) for a, b in search([look_at(row.picture.image()) for row in rows]) if rows[a].pair != rows[b].pair]
    if options.json:
        print(
            json.dumps({"pieces": count, "copies": results, "emoji": len(rows), "emoji_pairs": len(alarms)}, indent=2)
        )
        return
    for name, result in results.items():
        print(f"{name:24} found {result['found']:6.1%} of {count}, other pairs {result['false_pairs']}")
    print(f"{len(rows):,} emoji: {len(alarms)} pairs of different concepts")


if __name__ == "__main__":
    main()
