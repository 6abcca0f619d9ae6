"""What a picture costs on its way into an index, in seconds of one core and in bytes: the rates of a large corpus.

    pip install lancedb
    python benchmarks/corpus.py [--files 64] [--sides 500 2000] [--networks vit_base_patch32_clip_224 ...]
    python benchmarks/corpus.py --index 100000 [--width 512]

Seconds are processor time of this process with one thread, so that a busy machine does not change them much. For each
size of picture: reading and naming it by its content; decoding, thumbnail and look; all that a worker does with the
packaged model; what is written. Bytes: the file, its thumbnail, its row on the disk, what travels to a worker of a
cluster and back, and what the process that writes holds for each path. Networks are timm's, untrained, one picture
at a time through the image tower alone; trained weights take as long. --index: rows with drawn vectors, and each
approximate index over them: seconds of processor time and of the clock to build it, its bytes, and the most memory
that was held.
"""

import argparse
import json
import pickle
import sys
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from index import ROWS_A_BLOCK, drawn, folder_bytes
from PIL import Image
from timing import memory


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time that a piece of work takes, and what it gives."""
    started = time.process_time()
    done = work()
    return time.process_time() - started, done


def write_jpegs(folder: Path, count: int, side: int) -> None:
    """Pieces of the bundled photographs, `side` by three quarters of it, no two alike."""
    from amodal.data.bundled import photos

    folder.mkdir()
    originals = [Image.open(path).convert("RGB") for path in photos().values()]
    draw = np.random.default_rng(0)
    for number in range(count):
        picture = originals[number % len(originals)]
        wide = draw.uniform(0.4, 1.0) * min(picture.width, picture.height * 4 / 3)
        x, y = draw.uniform(0, picture.width - wide), draw.uniform(0, picture.height - wide * 0.75)
        piece = picture.resize((side, side * 3 // 4), box=(x, y, x + wide, y + wide * 0.75))
        piece.save(folder / f"{number:06}.jpg", quality=90)


def pictures(files: int, side: int) -> dict[str, Any]:
    """A worker's and the writer's seconds for one picture, and the bytes of one."""
    import amodal
    from amodal.features import FeatureCache
    from amodal.search import Settings, Store
    from amodal.search.blocks import BlockReader
    from amodal.search.survey import survey
    from amodal.search.thumbnails import ReadPicture

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        write_jpegs(folder, files, side)
        model = amodal.load(device="cpu", cache=FeatureCache(Path(place) / "features.sqlite"))
        model.encode_image(next(folder.iterdir()).read_bytes() + b"warm")  # so that its content is another
        found = survey(str(folder))
        store = Store(str(Path(place) / "index"), create=True)
        table = store.pictures(
            Settings(model="", origin="", revision="", fingerprint=model.fingerprint, dimension=model.width)
        )
        reader = BlockReader(store.attribute_columns(table, found.attributes), store.columns(table), False)
        block = {path: found.entry(path) for path in found.marks}
        vectors = Vectors(model.width)
        read, _ = seconds(lambda: [ReadPicture(entry.picture.content()) for entry in block.values()])
        seen, _ = seconds(lambda: reader(block, lambda: model.embedder, (), lambda: vectors))
        worked, done = seconds(lambda: reader(block, lambda: model.embedder, (), dict))
        rows = [
            {**row, **done.made[row["content"]]._asdict(), "source": str(folder), "mark": found.marks[path]}
            for path, row in done.rows.items()
        ]
        for row in rows:
            del row["thumbnail"]
        thumbnails = {content: made.thumbnail for content, made in done.made.items()}
        wrote, _ = seconds(lambda: (store.thumbnails.keep(thumbnails), store.put(table, rows, known=False)))
        small = sum(map(len, thumbnails.values()))
        return {
            "side": side,
            "read_s": read / files,
            "decode_s": (seen - read) / files,
            "worker_s": worked / files,
            "write_s": wrote / files,
            "file_bytes": folder_bytes(folder) / files,
            "thumbnail_bytes": small / files,
            "row_bytes": (folder_bytes(Path(place) / "index") - small) / files,
            "sent_bytes": len(pickle.dumps(block)) / files,
            "returned_bytes": len(pickle.dumps(done)) / files,
        }


def held(count: int) -> dict[str, Any]:
    """Bytes that the process that writes holds for a path of its source, and for a row of its table."""
    from amodal.search.survey import survey

    with tempfile.TemporaryDirectory() as place:
        for number in range(count):
            (Path(place) / f"{number:09}-a-picture.jpg").touch()
        tracemalloc.start()
        found = survey(place)
        surveyed = tracemalloc.get_traced_memory()[0]
        known = {path: (mark, sha256(path.encode()).hexdigest()) for path, mark in found.marks.items()}
        contents = Counter(content for _, content in known.values())
        rows = tracemalloc.get_traced_memory()[0] - surveyed
        tracemalloc.stop()
    return {"paths": len(contents), "path_bytes": surveyed / count, "known_row_bytes": rows / count}


class Vectors(dict[str, np.ndarray]):
    """A vector for every content, so that none is embedded."""

    def __init__(self, width: int) -> None:
        self.vector = np.zeros(width, np.float32)

    def __contains__(self, content: object) -> bool:
        return True

    def __getitem__(self, content: str) -> np.ndarray:
        return self.vector


def network(name: str, times: int = 4) -> dict[str, Any]:
    """Seconds of one core for one picture through a network of timm's, in float32."""
    import timm
    import torch

    torch.set_num_threads(1)
    model: Any = timm.create_model(name, pretrained=False, num_classes=0).eval()
    size = model.pretrained_cfg["input_size"]
    pixels = torch.randn(1, *size).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        model(pixels)
        spent, _ = seconds(lambda: [model(pixels) for _ in range(times)])
        width = model(pixels).shape[1]
    parameters = sum(each.numel() for each in model.parameters())
    return {"network": name, "side": size[-1], "width": width, "parameters": parameters, "network_s": spent / times}


def indexes(count: int, width: int) -> list[dict[str, Any]]:
    """Rows with drawn vectors, and the approximate indexes over them."""
    from amodal.search import Settings, Store, approximate

    vectors, _ = drawn(count, width, 1)
    with tempfile.TemporaryDirectory() as place:
        store = Store(str(Path(place) / "index"), create=True)
        table = store.pictures(
            Settings(model="", origin="", revision="", fingerprint="0" * 64, dimension=vectors.shape[1])
        )
        for start in range(0, count, 10_000):
            block = enumerate(vectors[start : start + 10_000], start=start)
            store.put(table, [{"source": "", "path": str(n), "vector": v} for n, v in block], known=False)
        plain, before = folder_bytes(Path(place)) / count, memory("VmHWM")
        found = []
        for kind in approximate.KINDS[
            : None if count >= ROWS_A_BLOCK else -1
        ]:  # IVF_PQ takes minutes whatever the number
            started = time.perf_counter()
            spent, _ = seconds(lambda kind=kind: store.build_approximate(table, kind))
            found.append(
                {
                    "index": kind,
                    "rows": count,
                    "row_bytes": plain,
                    "index_bytes": store.index_bytes(table) / count,
                    "build_core_s": spent,
                    "build_clock_s": time.perf_counter() - started,
                    "most_gb": memory("VmHWM"),
                    "before_gb": before,
                }
            )
            print(found[-1], file=sys.stderr)
    return found


def main() -> None:
    """Prints a line a measurement, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--sides", type=int, nargs="*", default=[500, 2000])
    parser.add_argument("--networks", nargs="*", default=["vit_base_patch32_clip_224", "vit_large_patch14_clip_224"])
    parser.add_argument("--paths", type=int, default=20_000)
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.index:
        rows = indexes(options.index, options.width)
    else:
        rows = [pictures(options.files, side) for side in options.sides] + list(map(network, options.networks))
        rows += [held(options.paths)] if options.paths else []
    if options.json:
        print(json.dumps({**vars(options), "rows": rows}, indent=2))
        return
    for row in rows:
        print(
            "  ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
            )
        )


if __name__ == "__main__":
    main()
