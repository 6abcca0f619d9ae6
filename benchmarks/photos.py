"""How a model that was trained on no photograph answers photographs: the stamps of Tux Paint, which are nearly all
photographs with a caption (Debian's package tuxpaint-stamps-default). A benchmark only: nothing is trained or chosen
on them, and only the folders `animals` and `food` are read, without cartoons and mirrored pictures.

    apt-get download tuxpaint-stamps-default && dpkg -x tuxpaint-stamps-default_*.deb stamps
    python benchmarks/photos.py --stamps stamps/usr/share/tuxpaint/stamps [--model runs/transfer]
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import amodal
from amodal.cli.shown import print_figures, print_json
from amodal.evaluation import retrieval

FOLDERS = ("animals", "food")
HOW = "with apt-get install tuxpaint-stamps-default they are there, or unpack that package and give --stamps FOLDER"
INSTALLED = Path("/usr/share/tuxpaint/stamps")
PICTURES, CAPTIONS = 178, 169


def read_stamps(stamps: Path) -> tuple[list[Path], list[str]]:
    """The pictures that have a caption, and it: the first line of the text file of the same name."""
    pictures, captions = [], []
    for folder in FOLDERS:
        for path in sorted((stamps / folder).rglob("*.png")):
            said = path.with_suffix(".txt")
            if "cartoon" in str(path) or "mirror" in path.name or not said.exists():
                continue
            lines = said.read_text(encoding="utf-8", errors="replace").splitlines()
            if lines and lines[0].strip():
                pictures.append(path)
                captions.append(lines[0].strip())
    return pictures, captions


def main() -> None:
    """Prints recall of the right caption among the distinct captions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, default=INSTALLED)
    parser.add_argument("--model", default=None, help="a run folder; by default the packaged model")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pictures, captions = read_stamps(options.stamps)
    if not pictures:
        sys.stderr.write(f"no captioned stamps under {options.stamps}, so nothing is measured; {HOW}\n")
        sys.exit(options.stamps != INSTALLED)  # not installed is no failure, a wrong folder is
    if (len(pictures), len(set(captions))) != (PICTURES, CAPTIONS):
        sys.stderr.write(f"note: {len(pictures)} pictures and {len(set(captions))} captions, not 178 and 169\n")
    model = amodal.load(options.model)
    distinct, groups = np.unique(captions, return_inverse=True)
    image_ND, text_MD = model.encode_image(pictures), model.encode_text([str(text) for text in distinct])
    figures = retrieval(image_ND, text_MD, groups, np.arange(len(distinct)))
    if options.json:
        print_json({"model": model.name, "figures": {name: figure.to_json() for name, figure in figures.items()}})
    else:
        print_figures(figures)


if __name__ == "__main__":
    main()
