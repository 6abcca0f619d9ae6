"""Whether the probabilities of a calibrated model hold where it learnt nothing: on the test concepts of the bundled
set, and on the photographs of `photos.py` where they are on the machine: by the calibration of the model, and by one
learnt from half of the photographs on the other half. Nothing is chosen on any of them.

For each, and for words that look for pictures and pictures that look for labels: the expected calibration error of the
top answer (15 bins of equal mass, present and absent queries 1:1), and the share of absent queries refused where 5 % of
the true ones are lost, beside the raw cosine at its best single cut, with the difference in pairs. Absent queries are,
in equal numbers, of concepts left out of the library, and strange: nonsense of another seed than calibration saw, and
captions of fields (sheet music, source code, law, chemistry) that it never saw.

    python benchmarks/calibration.py [--stamps stamps/usr/share/tuxpaint/stamps] [--model runs/transfer] [--json]
"""

import argparse
import random
import sys
from collections.abc import Mapping
from pathlib import Path

from photos import HOW, INSTALLED, read_stamps

import amodal
from amodal.cli.shown import print_figures, print_json
from amodal.data.pictures import FileRef
from amodal.data.rows import Row, Table
from amodal.data.sources import open_table
from amodal.inference import Model
from amodal.metrics import Figure
from amodal.recipes import calibrate, encoded_pairs, trials_of
from amodal.search import Calibration, calibration_figures

SEED = 1
"""Calibration draws with seed 0."""

FOREIGN = (
    ("score of a {} for string quartet", ("fugue in D minor", "slow movement", "scherzo", "passacaglia", "minuet")),
    ("source code of a {} in Rust", ("hash table", "parser", "garbage collector", "ring buffer", "scheduler")),
    ("clause on {} in a lease", ("liability", "arbitration", "early termination", "sublet rooms", "service charges")),
    ("structural formula of {}", ("an ester", "a crown ether", "benzoic acid", "a peptide bond", "cyclohexane")),
)
PLACES = ("first draft", "page 3", "with annotations", "third edition", "enlarged", "in two columns")


def foreign_texts() -> list[str]:
    """Captions of fields that calibration never saw."""
    said = [f"{frame.format(filler)}, {place}" for frame, fillers in FOREIGN for filler in fillers for place in PLACES]
    random.Random(SEED).shuffle(said)
    return said


def photo_table(stamps: Path) -> Table:
    """The photographs, each with its caption and, as a label, the caption without article and full stop."""
    rows = []
    for path, caption in zip(*read_stamps(stamps), strict=True):
        label = caption.removeprefix("An ").removeprefix("A ").removesuffix(".")
        picture = FileRef(path)
        rows.append(Row(key=str(path), picture=picture, captions=(caption,), pair=caption, attributes={"label": label}))
    return Table("photographs", rows)


def halved(table: Table) -> tuple[Table, Table]:
    """Its concepts, dealt out at random."""
    concepts = sorted({row.pair for row in table.rows})
    random.Random(SEED).shuffle(concepts)
    half = set(concepts[: len(concepts) // 2])
    parts = ([row for row in table.rows if (row.pair in half) == first] for first in (True, False))
    one, other = (Table(table.name, rows) for rows in parts)
    return one, other


def judged(
    model: Model, table: Table, beside: Table | None, calibrations: Mapping[str, Calibration]
) -> dict[str, Figure]:
    """Every figure of both kinds of query."""
    templates = str(model.templates)  # of a run always a name
    pairs = encoded_pairs(model.encoder, table, beside, templates)
    figures = {}
    for kind, calibration in calibrations.items():
        trials = trials_of(kind, pairs, model.encoder, templates, SEED, foreign_texts())
        found = calibration_figures(calibration, trials)
        figures |= {f"{kind}/{name}": figure for name, figure in found.items()}
    return figures


def main() -> None:
    """Prints the figures of the test concepts and of the photographs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, default=INSTALLED)
    parser.add_argument("--model", default=None, help="a calibrated run; by default the packaged model")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = amodal.load(options.model)
    if not model.calibrations:
        sys.exit(f"{model.name} is not calibrated; calibrate it first: amodal calibrate {options.model}")
    bundled = open_table("bundled")
    found = {"test concepts": judged(model, bundled.split("test"), bundled.split("train"), model.calibrations)}
    if options.stamps.is_dir():
        photographs = photo_table(options.stamps)
        found["photographs"] = judged(model, photographs, None, model.calibrations)
        one, other = halved(photographs)
        own = calibrate(model.encoder, one, None, str(model.templates)).kinds
        found["half of the photographs, calibrated on the other half"] = judged(model, other, None, own)
    else:
        sys.stderr.write(f"no stamps under {options.stamps}, so photographs are left out; {HOW}\n")
    if options.json:
        told = {where: {name: each.to_json() for name, each in figures.items()} for where, figures in found.items()}
        print_json({"model": model.name, **told})
        return
    for where, figures in found.items():
        print(f"\n{where}")
        print_figures(figures)


if __name__ == "__main__":
    main()
