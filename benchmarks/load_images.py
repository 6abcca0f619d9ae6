"""Pictures a second from the bytes of a JPEG to a normalised tensor, ours beside open_clip's preprocessing, as a ratio;
and what decoding at a reduced scale changes in the features of a network.

    pip install --group bench        # open_clip_torch
    python benchmarks/load_images.py [--pictures FOLDER] [--sides 2000 500] [--size 224] [--count 100] [--json]

The photographs of FOLDER, by default the bundled ones, are first resized so that the longer side is 2,000 and 500
pixels, and saved as JPEG of quality 90. The bundled ones are about 500 pixels long, so that at 2,000 they are enlarged
and smoother than a camera's; give a folder of large photographs for those. A picture takes its turn in both ways before
the next one comes.

Ours checks the format, refuses bombs, applies EXIF orientation and lays transparency over white, decodes at a reduced
scale that leaves at least twice the pixels wanted, and resizes in torch. The peer is `image_transform(224,
is_train=False)` behind `Image.open(...)`, as open_clip's own loader has it. Agreement: the cosine between features of
EfficientNet-Lite2 for our tensor and for the picture decoded in full and resized by PIL, mean and worst.
"""

import argparse
import io
import itertools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from same_weights import peer_module
from timing import spent
from torch import Tensor

from amodal.data.bundled import photos
from amodal.data.folders import picture_files
from amodal.data.pictures import decode_picture
from amodal.data.transforms import fit_picture, pixels_of, to_tensor
from amodal.towers import packaged_image_network

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
Prepare = Callable[[bytes], Tensor]


def our_way(size: int) -> Prepare:
    """Decoded as towers get their pictures, the shorter side resized and the centre cut."""
    return lambda content: to_tensor(fit_picture(decode_picture(content, at_least=size), size, "crop"), MEAN, STD)


def peer_way(size: int) -> Prepare:
    """open_clip's preprocessing for evaluation."""
    chain = peer_module("open_clip").image_transform(size, is_train=False)
    return lambda content: chain(Image.open(io.BytesIO(content)))


def jpeg(path: Path, side: int) -> bytes:
    """The picture of a file with a longer side of `side`, as JPEG of quality 90."""
    image = decode_picture(path.read_bytes())
    scale, buffer = side / max(image.size), io.BytesIO()
    resized = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    resized.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@torch.inference_mode()
def agreement(contents: list[bytes], size: int) -> dict[str, float]:
    """The cosine between features of our pictures and of those decoded in full: mean and worst."""
    network: Any = packaged_image_network("lite2").eval()
    mean, std = network.pretrained_cfg["mean"], network.pretrained_cfg["std"]

    def features(pixels: list[Tensor]) -> Tensor:
        batch = torch.stack([to_tensor(part, mean, std) for part in pixels])
        return network.forward_head(network.forward_features(batch), pre_logits=True)

    ours = features([fit_picture(decode_picture(content, at_least=size), size, "crop") for content in contents])
    full = features([_in_full(decode_picture(content), size) for content in contents])
    cosine = F.cosine_similarity(ours, full)
    return {"cosine": cosine.mean().item(), "worst_cosine": cosine.min().item()}


def _in_full(image: Image.Image, size: int) -> Tensor:
    """The centre square, resized by PIL. -> (3, size, size) uint8"""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return pixels_of(image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)))


def measure(contents: list[bytes], size: int, count: int) -> dict[str, float]:
    """Pictures a second of each way, the ratio, and the agreement."""
    ways = {"ours": our_way(size), "open_clip": peer_way(size)}
    for content in contents:  # warm up, and see that both give the same shape
        assert {prepare(content).shape for prepare in ways.values()} == {(3, size, size)}
    jobs = (
        {name: partial(prepare, content) for name, prepare in ways.items()}
        for content in itertools.islice(itertools.cycle(contents), count + 1)
    )
    taken = {name: sum(seconds) for name, seconds in spent(jobs).items()}
    rates = {f"{name}_pictures_s": count / seconds for name, seconds in taken.items()}
    return {**rates, "ratio": taken["open_clip"] / taken["ours"], **agreement(contents, size)}


def main() -> None:
    """Prints one line for each length of the longer side, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, help="a folder; by default the bundled photographs")
    parser.add_argument("--sides", type=int, nargs="+", default=[2000, 500], help="pixels of the longer side")
    parser.add_argument("--size", type=int, default=224, help="pixels of the tensor")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    files = picture_files(options.pictures) if options.pictures else list(photos().values())
    rows = {}
    for side in options.sides:
        rows[side] = measure([jpeg(path, side) for path in files], options.size, options.count)
    if options.json:
        found = {"size": options.size, "files": len(files), "count": options.count, "threads": options.threads}
        print(json.dumps({**found, "sides": rows}, indent=2))
        return
    for side, row in rows.items():
        print(
            f"{len(files)} JPEGs of {side:,} px to {options.size} px   ours {row['ours_pictures_s']:6.0f} pictures/s   "
            f"open_clip {row['open_clip_pictures_s']:6.0f} pictures/s   ratio {row['ratio']:.2f}   "
            f"cosine to full decoding {row['cosine']:.4f}, worst {row['worst_cosine']:.4f}"
        )


if __name__ == "__main__":
    main()
