"""What the scores of a model mean, learnt from pairs that it was not trained on: chosen, encoded, tried, written down.

N pictures · M texts · C concepts · D width
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from amodal.core.errors import DataError, RunError, UsageError
from amodal.data.rows import Row, SkipLog, Table
from amodal.data.sources import open_table
from amodal.evaluation import class_embeddings
from amodal.features import Encoder, FeatureCache
from amodal.metrics import Figure
from amodal.recipes.foreign import is_foreign, load_any_model
from amodal.recipes.schema import Recipe
from amodal.recipes.streamed import judged_tables
from amodal.runs import RunFolder, read_card
from amodal.runs.folder import read_json, write_json
from amodal.search import (
    Calibration,
    Side,
    Strange,
    Trials,
    calibration_figures,
    draw_trials,
    foreign,
    learn,
    nonsense,
)

FEWEST = 20
"""Concepts that calibration asks for at least: half of them are left out of a library, each time others."""
MOST_BESIDE = 2_000
NUM_NONSENSE, NUM_FOREIGN = 450, 300
KINDS = ("words", "labels")


@dataclass(frozen=True)
class Calibrated:
    """A calibration for each of `KINDS` (words that look for pictures, pictures that look for labels), and its figures
    on the trials that it was learnt from."""

    kinds: Mapping[str, Calibration]
    figures: Mapping[str, Figure]

    def told(self, source: str) -> dict[str, str]:
        """For the card."""
        said = {"learnt from": source}
        for kind, calibration in self.kinds.items():
            error, refused = (self.figures[f"{kind}/{name}"].value for name in ("calibration_error", "refused"))
            said[kind] = (
                f"{calibration.concepts} concepts; there, calibration error {error:.3f}, and {refused:.0%} of absent "
                f"queries refused where {calibration.lost:.0%} of true ones are lost"
            )
        return said

    def write(self, path: Path, source: str) -> None:
        """Writes calibration.json."""
        kinds = {kind: calibration.to_json() for kind, calibration in self.kinds.items()}
        figures = {name: figure.to_json() for name, figure in self.figures.items()}
        write_json(path, {"learnt_from": source, "kinds": kinds, "figures": figures})


@dataclass(frozen=True)
class Pairs:
    """The vectors of a table: pictures, texts and one label a concept, and of other rows pictures and labels beside."""

    pictures: Side
    texts: Side
    labels: Side
    pictures_beside_ND: np.ndarray
    labels_beside_CD: np.ndarray
    captions: Sequence[str]


def read_calibration(path: Path) -> dict[str, Calibration]:
    """The calibrations of a file by kind; empty when there is none. Raises RunError for a damaged one."""
    if not path.exists():
        return {}
    try:
        return {kind: Calibration.from_json(told) for kind, told in read_json(path)["kinds"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error!r}); make it again with: amodal calibrate") from error


def calibrate(encoder: Encoder, table: Table, beside: Table | None, templates: str, seed: int = 0) -> Calibrated:
    """Learns both kinds from the pairs of `table`; `beside` gives pictures and labels that make libraries larger.

    Raises DataError for fewer than `FEWEST` concepts.
    """
    pairs = encoded_pairs(encoder, table, beside, templates)
    kinds: dict[str, Calibration] = {}
    figures: dict[str, Figure] = {}
    for kind in KINDS:
        trials = trials_of(kind, pairs, encoder, templates, seed)
        kinds[kind] = learn(trials)
        found = calibration_figures(kinds[kind], trials)
        figures |= {f"{kind}/{name}": figure for name, figure in found.items()}
    return Calibrated(kinds, figures)


def trials_of(
    kind: str, pairs: Pairs, encoder: Encoder, templates: str, seed: int, others: Sequence[str] | None = None
) -> Trials:
    """The trials of one kind. others: foreign texts, by default those of `amodal.search.foreign`."""
    senseless = nonsense(NUM_NONSENSE, seed)
    others = (foreign(NUM_FOREIGN, seed, pairs.captions) or senseless) if others is None else others
    if kind == "words":
        strange = Strange(encoder.texts(senseless), encoder.texts(others), replace_queries=True)
        return draw_trials(pairs.texts, pairs.pictures, pairs.pictures_beside_ND, strange, seed=seed)
    vectors = (class_embeddings(encoder.texts, texts, templates) for texts in (senseless, others))
    strange = Strange(*vectors, replace_queries=False)
    return draw_trials(pairs.pictures, pairs.labels, pairs.labels_beside_CD, strange, seed=seed)


def encoded_pairs(encoder: Encoder, table: Table, beside: Table | None, templates: str) -> Pairs:
    """Encodes a table for trials. A text or label that several concepts share belongs to none of them.

    Raises DataError for fewer than `FEWEST` concepts.
    """
    concepts = len({row.pair for row in table.rows})
    if concepts < FEWEST:  # before a picture is looked at
        raise DataError(f"{table.name}: {concepts} concepts are too few to calibrate with; give at least {FEWEST}")
    picture_ND, kept = encoder.images(table.rows, table.skipped)
    rows = [table.rows[number] for number in kept]
    number = {pair: place for place, pair in enumerate(dict.fromkeys(row.pair for row in rows))}
    texts = _unshared([(text, number[row.pair]) for row in rows for text in row.captions])
    labels = _unshared([(_label(row, texts), number[row.pair]) for row in rows])
    if min(len(set(texts.values())), len(labels)) < FEWEST:
        raise DataError(
            f"{table.name}: its pictures share their captions; give at least {FEWEST} with one of their own"
        )
    none = picture_ND[:0]
    beside_rows = beside.rows[:: 1 + len(beside.rows) // MOST_BESIDE] if beside is not None else []
    more = list(dict.fromkeys(label for row in beside_rows if (label := _label(row)) not in labels))
    return Pairs(
        pictures=Side(picture_ND, np.array([number[row.pair] for row in rows])),
        texts=Side(encoder.texts(list(texts)), np.array(list(texts.values()))),
        labels=Side(class_embeddings(encoder.texts, list(labels), templates), np.array(list(labels.values()))),
        pictures_beside_ND=encoder.images(beside_rows, SkipLog(limit=1.0))[0] if beside_rows else none,
        labels_beside_CD=class_embeddings(encoder.texts, more, templates) if more else none,
        captions=list(texts),
    )


def calibrate_run(
    path: str | Path,
    *,
    data: str = "",
    split: str = "",
    out: Path | None = None,
    device: torch.device,
    cache: FeatureCache,
) -> Calibrated:
    """Calibrates a run on the validation split of its own data, or on `data`, and writes that down in its folder and
    card, or in the file `out` alone. Of a model of another library `data` is needed, and `out` where it has no folder
    here. Raises AmodalError."""
    folder = RunFolder(path) if is_foreign(path) else RunFolder.open(path)
    if out is None and not folder.path.is_dir():
        raise UsageError(f"{path} has no folder here; name a file for the calibration with --out")
    loaded = load_any_model(path, device=device, cache=cache)
    table, beside = _tables(loaded.recipe, data, split, path)
    found = calibrate(loaded.encoder, table, beside, loaded.evaluation.templates)
    own = "" if loaded.recipe is None else loaded.recipe.data.source
    source = f"{data or own}, {len(table)} pictures" + ("" if data else " of the validation split")
    found.write(out or folder.calibration, source)
    if out is None and folder.card.exists():
        replace(read_card(folder), calibration=found.told(source)).write(folder)
    return found


def _tables(recipe: Recipe | None, data: str, split: str, path: str | Path) -> tuple[Table, Table | None]:
    """The pairs to learn from, never those of training, and rows that stand beside them in libraries."""
    if recipe is None:
        if not data:
            raise UsageError(f"{path} was not trained here and has no pairs of its own; say which: --data PATH")
        table = open_table(data)
    elif recipe.data.stream and data in ("", recipe.data.source):
        return judged_tables(recipe)[split or "validation"], None
    else:
        table = open_table(data or recipe.data.source, max_skipped=recipe.data.max_skipped)
        if data in ("", recipe.data.source):
            table = table.with_split(recipe.training.seed, recipe.data.split)
    splits = {row.attributes.get("split", "").lower() for row in table.rows}
    if not split and not splits & {"val", "valid", "validation", "dev"}:
        return table, None
    return table.split(split or "validation"), table.split("train") if "train" in splits else None


def _label(row: Row, own: Container[str] = ()) -> str:
    """Its label, or else its shortest caption, if it can be one of its own."""
    return row.attributes.get("label") or min(row.captions, key=lambda text: (text not in own, len(text)))


def _unshared(said: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Each text with its concept, without those of several; the first label of a concept that has more is first."""
    concepts: dict[str, set[int]] = {}
    for text, concept in said:
        concepts.setdefault(text, set()).add(concept)
    return {text: next(iter(found)) for text, found in concepts.items() if len(found) == 1}
