"""Vectors of a whole source, as Parquet."""

from pathlib import Path

from amodal.core.files import atomic_path
from amodal.data.rows import Table
from amodal.inference.model import Model


def encode_table(model: Model, table: Table, out: Path) -> int:
    """Writes key, captions, image and text vectors (float32, unit length) of every readable row. -> rows written

    The name of the model is kept in the file's metadata. The file is whole or absent.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    image_ND, kept = model.encoder.images(table.rows, table.skipped)
    table.skipped.check(len(table.rows) + len(table.skipped))
    rows = [table.rows[number] for number in kept]
    text_ND = model.encode_text([row.captions[0] for row in rows])
    arrow = pa.table(
        {
            "key": [row.key for row in rows],
            "captions": [list(row.captions) for row in rows],
            "image_vector": pa.FixedSizeListArray.from_arrays(pa.array(image_ND.ravel()), image_ND.shape[1]),
            "text_vector": pa.FixedSizeListArray.from_arrays(pa.array(text_ND.ravel()), text_ND.shape[1]),
        }
    ).replace_schema_metadata({"amodal.model": model.name})
    with atomic_path(out) as temporary:
        pq.write_table(arrow, temporary)
    return len(rows)
