"""How far our vectors are from those of the library that a model comes from: tiny models of every family with seeded
weights, pictures and texts, together and alone, texts short and too long.

    python benchmarks/families.py

Needs transformers, which amodal brings, and open_clip (`pip install --group bench`); without it its rows are left out.
"""

import argparse
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_families import OPENCLIP, TEXTS, TRANSFORMERS, Family, pictures
from transformers.utils import logging as told

import amodal
from amodal.inference import Model

LIMIT = 1e-4


@dataclass(frozen=True)
class Row:
    """The largest difference of any number of any unit vector; agrees: both are within the limit."""

    family: str
    library: str
    pictures: float
    texts: float
    agrees: bool


def measure(family: str, library: str, make: Family) -> Row:
    """Makes the model, encodes by both, all at once and one by one."""
    with tempfile.TemporaryDirectory() as folder:
        peer = make(Path(folder) / "model")
        model = amodal.load(peer.source, device="cpu")
        alone = Model(replace(model.encoder, cache=None), name="", logit_scale=0.0, templates="plain")
        shown, said = pictures(), list(TEXTS)
        images, texts = peer.images(shown), peer.texts(said)
        seen = max(_apart(model.encode_image(shown), images), _apart(_each(alone.encode_image, shown), images))
        read = max(_apart(model.encode_text(said), texts), _apart(_each(alone.encode_text, said), texts))
    return Row(family, library, seen, read, max(seen, read) <= LIMIT)


def _each(encode: Callable[[Any], np.ndarray], things: Sequence[Any]) -> np.ndarray:
    return np.stack([encode(thing) for thing in things])


def _apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max())


def main() -> None:
    """Prints a row a family, and how many agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    told.set_verbosity_error()
    told.disable_progress_bar()
    logging.disable(logging.WARNING)  # that its weights are fresh is what we want
    warnings.simplefilter("ignore")
    families = [("transformers", name, make) for name, make in TRANSFORMERS.items()]
    if find_spec("open_clip"):
        families += [("open_clip", name, make) for name, make in OPENCLIP.items()]
    rows = [measure(name, library, make) for library, name, make in families]
    good = sum(row.agrees for row in rows)
    if asked.json:
        print(json.dumps({"limit": LIMIT, "agree": good, "families": [asdict(row) for row in rows]}, indent=2))
        return
    print(f"{'family':24}{'library':14}{'pictures':>10}{'texts':>10}")
    for row in rows:
        print(f"{row.family:24}{row.library:14}{row.pictures:10.1e}{row.texts:10.1e}{'' if row.agrees else '  apart'}")
    print(f"{good} of {len(rows)} within {LIMIT:g}; largest difference of any number of any unit vector")


if __name__ == "__main__":
    main()
