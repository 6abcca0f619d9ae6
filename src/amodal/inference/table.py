"""Vectors of a whole source, as Parquet."""

from pathlib import Path
from typing import Any

import numpy as np

from amodal.core.files import atomic_path
from amodal.data.rows import Table
from amodal.inference.model import Model


def encode_table(model: Model, table: Table, out: Path) -> int:
    """Writes key, captions, image and text vectors (float32, unit length) of every readable row. -> rows written

    A source without captions gives neither captions nor text vectors. The name of the model is kept in the file's
    metadata. The file is whole or absent.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    image_ND, kept = model.encoder.images(table.rows, table.skipped)
    table.skipped.check()
    rows = [table.rows[number] for number in kept]
    columns: dict[str, Any] = {"key": [row.key for row in rows]}
    if table.captioned:
        columns["captions"] = [list(row.captions) for row in rows]
    columns["image_vector"] = _vectors(image_ND)
    if table.captioned:
        columns["text_vector"] = _vectors(model.encode_text([row.captions[0] for row in rows]))
    arrow = pa.table(columns).replace_schema_metadata({"amodal.model": model.name})
    with atomic_path(out) as temporary:
        pq.write_table(arrow, temporary)
    return len(rows)


def _vectors(vector_ND: np.ndarray) -> Any:
    """A column of vectors of one length."""
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(vector_ND.ravel()), vector_ND.shape[1])
