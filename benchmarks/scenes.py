"""Scenes a second on one core: pictures, boxes and masks alone, then with captions and questions, then with falsehoods.

    python benchmarks/scenes.py [--size 128] [--count 2000] [--split train] [--json]

Seconds are those that this process had the processor, so that other work on the machine counts little. Reading the
bundled set and unpacking its pictures (once a process) is told apart.
"""

import argparse
import json
import time
from collections.abc import Callable

from amodal.data.scenes import Scene, Scenes

STEPS: dict[str, Callable[[Scene], object]] = {
    "pictures": lambda scene: scene.things,
    "captions and questions": lambda scene: (scene.things, scene.captions, scene.questions),
    "and falsehoods": lambda scene: (scene.captions, scene.questions, scene.falsehoods),
}
WARM_UP = 1000
"""Scenes after which nearly every picture of the split has been unpacked."""


def rate(scenes: Scenes, step: Callable[[Scene], object], count: int) -> float:
    """Scenes a second of processor time."""
    started = time.process_time()
    for number in range(count):
        step(scenes[number])
    return count / (time.process_time() - started)


def main() -> None:
    """Prints one line a step, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--split", default="train")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.process_time()
    scenes = Scenes(options.split, size=options.size)
    for number in range(WARM_UP):
        scenes[options.count + number]
    opened = time.process_time() - started
    found = {name: rate(scenes, step, options.count) for name, step in STEPS.items()}
    if options.json:
        asked = {"size": options.size, "count": options.count, "split": options.split}
        print(json.dumps({**asked, "seconds_to_open": opened, "scenes_a_second": found}, indent=2))
        return
    print(f"{options.split} at {options.size} px, opened in {opened:.1f} s")
    for name, value in found.items():
        print(f"{name:24} {value:6.0f} scenes/s")


if __name__ == "__main__":
    main()
