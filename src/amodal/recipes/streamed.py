"""Recipes whose training pairs are read from shards while training goes on (`data.stream`), and what judges them."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from amodal.core.errors import DataError
from amodal.core.ranks import ALONE, Ranks
from amodal.data.rows import Row, SkipLog, Table
from amodal.data.shard_index import Shards, open_shards
from amodal.data.shards import read_shards, shard_paths
from amodal.data.sources import open_table
from amodal.features import FeatureCache
from amodal.recipes.schema import DataConfig, Recipe

CAPTIONS_READ = 100_000
"""Captions that a tokenizer of our own is trained on, about."""


def streamed_data(recipe: Recipe, cache: FeatureCache, ranks: Ranks = ALONE) -> tuple[Shards, dict[str, Table]]:
    """The shards to train on, and the tables that judge: see `judged_tables`. All share one log. Raises DataError."""
    data = recipe.data
    held_out = {} if data.judged else _held_out(data, recipe.training.seed)
    paths = [path for path in _paths(data) if path not in held_out.values()]
    shards = open_shards(
        paths,
        folder=cache.path.parent / "shards",
        skipped=SkipLog(data.max_skipped),
        mixed=data.mixed,
        workers=recipe.training.workers or 0,
        ranks=ranks,
    )
    tables = judged_tables(recipe)
    for table in {id(table.skipped): table for table in tables.values()}.values():
        for entry in table.skipped.entries:
            shards.skipped.add(*entry)
    return shards, {name: replace(table, skipped=shards.skipped) for name, table in tables.items()}


def judged_tables(recipe: Recipe) -> dict[str, Table]:
    """The validation and test rows of a streamed recipe: those of `data.judged`, else one whole shard for each."""
    data, seed = recipe.data, recipe.training.seed
    if data.judged:
        total = sum(data.split[name] for name in ("validation", "test"))
        shares = {name: data.split[name] / total for name in ("validation", "test")}
        table = open_table(data.judged, max_skipped=data.max_skipped).with_split(seed, shares)
        return {name: table.split(name) for name in shares}
    return {name: read_shards(path, max_skipped=data.max_skipped) for name, path in _held_out(data, seed).items()}


def caption_rows(recipe: Recipe, source: Table | Shards) -> Iterable[Row]:
    """The rows whose captions a tokenizer is trained on: of shards some drawn by the seed, and only where needed."""
    if isinstance(source, Table):
        return source.rows
    text = recipe.model.text
    trains = text.tower == "transformer" and not text.tokenizer
    return source.drawn(CAPTIONS_READ, recipe.training.seed) if trains else ()


def _held_out(data: DataConfig, seed: int) -> dict[str, Path]:
    """The shards that judge: the first two by a hash of seed and name, which more shards seldom change."""
    paths = _paths(data)
    if len(paths) < 3:
        raise DataError(
            f"{data.source} has {len(paths)} shards, and without data.judged one is held out for validation and one "
            "for the test; name the pairs that judge with --set data.judged=PATH"
        )
    ordered = sorted(paths, key=lambda path: hashlib.sha256(f"{seed}\x1f{path.name}".encode()).digest())
    return dict(zip(("validation", "test"), ordered, strict=False))


def _paths(data: DataConfig) -> list[Path]:
    return shard_paths(Path(data.source).expanduser())
