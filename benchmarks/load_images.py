"""Pictures a second, from encoded bytes to a normalised tensor: ours beside torchvision's transforms, as a ratio.

    python benchmarks/load_images.py [--pictures FOLDER] [--size 224] [--count 200] [--threads 1] [--json]

Ours checks the format, refuses bombs, applies EXIF orientation and lays transparency over white; JPEGs are decoded at
a reduced scale where that is enough. The peer does what tutorials do: open, convert("RGB"), Resize, CenterCrop,
ToTensor, Normalize.
"""

import argparse
import io
import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from timing import spent
from torch import Tensor
from torchvision import transforms

from amodal.data.bundled import photos
from amodal.data.folders import picture_files
from amodal.data.pictures import decode_picture
from amodal.data.transforms import fit_picture, to_tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Prepare = Callable[[bytes], Tensor]


def our_way(size: int) -> Prepare:
    """Decoded as towers get their pictures, the shorter side resized and the centre cut."""
    return lambda content: to_tensor(fit_picture(decode_picture(content, at_least=size), size, "crop"), MEAN, STD)


def peer_way(size: int) -> Prepare:
    """The usual chain of torchvision."""
    chain = transforms.Compose(
        [
            transforms.Resize(size, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return lambda content: chain(Image.open(io.BytesIO(content)).convert("RGB"))  # pyright: ignore


def measure(contents: list[bytes], size: int, count: int) -> dict[str, float]:
    """Pictures a second of each; they take turns picture by picture, so that a busy machine slows both."""
    ways = {"ours": our_way(size), "peer": peer_way(size)}
    for content in contents:  # warm up, and see that both give the same shape
        assert {prepare(content).shape for prepare in ways.values()} == {(3, size, size)}
    jobs = (
        {name: partial(prepare, content) for name, prepare in ways.items()}
        for content in itertools.islice(itertools.cycle(contents), count + 1)
    )
    taken = {name: sum(seconds) for name, seconds in spent(jobs).items()}
    return {**{name: count / seconds for name, seconds in taken.items()}, "ratio": taken["peer"] / taken["ours"]}


def main() -> None:
    """Prints one line, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="a folder; by default the bundled photographs")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    files = picture_files(options.pictures) if options.pictures else list(photos().values())
    found = measure([path.read_bytes() for path in files], options.size, options.count)
    if options.json:
        print(json.dumps({"size": options.size, "files": len(files), "count": options.count, **found}, indent=2))
        return
    print(
        f"{len(files)} files to {options.size} px   ours {found['ours']:6.0f} pictures/s   "
        f"torchvision {found['peer']:6.0f} pictures/s   ratio {found['ratio']:.2f}"
    )


if __name__ == "__main__":
    main()
