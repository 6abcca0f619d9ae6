"""Vectors of a whole source, as Parquet."""

import hashlib
from pathlib import Path
from typing import Any

from amodal.core.progress import progress
from amodal.data.rows import SkipLog, Table
from amodal.inference.model import Model
from amodal.search import VectorParts, VectorStamp, VectorType

ROWS_A_PART = 256


def encode_table(model: Model, table: Table, out: Path, *, kind: VectorType = "float32") -> int:
    """Writes key, captions, SHA-256 of the content, picture's and first caption's unit vectors of every readable row.

    -> rows written. A source without captions gives neither captions nor text vectors. The file is whole or absent;
    parts of it lie in `OUT.parts` until then, and a run that was killed goes on after the last of them. The file says
    which model made it: `read_vectors` refuses it for another. Raises UsageError for a type that is none, DataError
    when too many rows cannot be read.
    """
    stamp = VectorStamp(model=model.name, fingerprint=model.fingerprint, data=table.fingerprint(), type=kind)
    parts = VectorParts(out, stamp)
    notes = list(parts.done())
    for note in notes:
        for key, reason in note["skipped"]:
            table.skipped.add(key, reason)
    starts = range(0, len(table), ROWS_A_PART)
    with progress("Rows", len(table), "rows", done=min(len(notes) * ROWS_A_PART, len(table))) as bar:
        try:
            for number in range(len(notes), len(starts)):
                part = table.rows[starts[number] : starts[number] + ROWS_A_PART]
                columns, skipped = _part(model, part, table.captioned)
                for key, reason in skipped.entries:
                    table.skipped.add(key, reason)
                table.skipped.check()
                notes.append({"rows": len(columns["key"]), "skipped": skipped.entries})
                parts.add(number, columns, notes[-1])
                bar.update(len(part))
        finally:
            parts.leave()
    parts.join(len(starts))
    return sum(note["rows"] for note in notes)


def _part(model: Model, rows: list[Any], captioned: bool) -> tuple[dict[str, Any], SkipLog]:
    skipped = SkipLog(limit=1.0)
    image_ND, kept = model.encoder.images(rows, skipped)
    rows = [rows[number] for number in kept]
    columns: dict[str, Any] = {"key": [row.key for row in rows]}
    if captioned:
        columns["captions"] = [list(row.captions) for row in rows]
    columns["content"] = [hashlib.sha256(row.picture.content()).hexdigest() for row in rows]
    columns["image_vector"] = image_ND.reshape(len(rows), model.width)
    if captioned:
        columns["text_vector"] = model.encode_text([row.captions[0] for row in rows])
    return columns, skipped
