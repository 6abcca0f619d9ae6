"""Scenes as files: webdataset shards, or a folder of pictures with a caption table and COCO annotations.

The output is whole or absent: it is written beside the folder that was asked for and takes its place at the end.
"""

import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL import __version__ as pillow_version

from amodal import __version__
from amodal.core.errors import UsageError
from amodal.core.progress import progress
from amodal.data.annotations import Link
from amodal.data.bundled import ATTRIBUTION
from amodal.data.scenes.concepts import Pool, load_pool
from amodal.data.scenes.scene import Caption, Question, Scene
from amodal.data.scenes.stream import Scenes

PER_SHARD = 1000


def write_scenes(scenes: Scenes, out: Path, form: str = "webdataset") -> None:
    """Writes all scenes of a source that has a count into the folder `out`, which must be absent or empty.

    webdataset: scenes-000000.tar ... of `PER_SHARD` scenes, each a .png and a .json (`scene_record`). coco: images/,
    captions.parquet (one row a picture) and annotations.json (COCO instances, masks as run lengths). Both: the
    licences in ATTRIBUTION.txt, and in scenes.json the seed, split, language and versions. Raises UsageError.
    """
    if scenes.count is None or scenes.count < 1:
        raise UsageError("endless scenes cannot be written; give a count of at least 1")
    writers = {"webdataset": _write_shards, "coco": _write_coco}
    if form not in writers:
        raise UsageError(f"scenes cannot be written as {form!r}; give {' or '.join(writers)}")
    with _new_folder(out) as folder:
        writers[form](scenes, folder)
        (folder / "ATTRIBUTION.txt").write_text(_attribution(), encoding="utf-8")
        (folder / "scenes.json").write_text(json.dumps(_made_from(scenes, form), indent=2) + "\n", encoding="utf-8")


def scene_record(scene: Scene) -> dict[str, Any]:
    """Everything said of a scene as JSON.

    caption: the texts; captions: each with its form and links; things with box [left, top, right, bottom] and mask
    (`run_lengths`); tags, questions and falsehoods. A link is [start, end, role, [places in things]].
    """
    pool = load_pool()
    return {
        "caption": [caption.text for caption in scene.captions],
        "seed": scene.seed,
        "split": scene.split,
        "number": scene.number,
        "novelty": None if scene.novelty is None else _novelty(scene, pool),
        "tags": list(scene.tags),
        "things": [
            {
                "concept": pool.ids[thing.concept],
                "name": pool.names[thing.concept],
                "style": thing.style,
                "colour": thing.colour,
                "box": list(thing.box),
                "area": thing.area,
                "visible": round(thing.visible, 4),
                "angle": round(thing.angle, 2),
                "mask": run_lengths(scene.owner == place + 1),
            }
            for place, thing in enumerate(scene.things)
        ],
        "captions": [{"form": caption.form, **_linked(caption)} for caption in scene.captions],
        "questions": [
            {"kind": question.kind, "answer": question.answer, **_linked(question)} for question in scene.questions
        ],
        "falsehoods": [
            {"change": false.change, "of": false.of, **_linked(false.caption)} for false in scene.falsehoods
        ],
    }


def run_lengths(mask: np.ndarray) -> dict[str, list[int]]:
    """A mask (H, W) as COCO writes it uncompressed: lengths of runs down the columns, unset pixels first."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [len(flat)]))
    counts = np.diff(edges).tolist()
    return {"counts": [0, *counts] if flat[0] else counts, "size": list(mask.shape)}


def _linked(said: Caption | Question) -> dict[str, Any]:
    def listed(links: tuple[Link, ...]) -> list[list[Any]]:
        return [[link.start, link.end, link.role, list(link.things)] for link in links]

    return {"text": said.text, "phrases": listed(said.phrases), "words": listed(said.words)}


def _novelty(scene: Scene, pool: Pool) -> dict[str, Any]:
    assert scene.novelty is not None
    kind, concepts, count = scene.novelty
    return {"kind": kind, "concepts": [pool.ids[concept] for concept in concepts], "count": count}


def _write_shards(scenes: Scenes, folder: Path) -> None:
    for number, (first, last) in enumerate(_parts(scenes)):
        with tarfile.open(folder / f"scenes-{number:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as shard:
            for scene in _told(scenes, first, last):
                record = json.dumps(scene_record(scene), ensure_ascii=False).encode()
                for suffix, content in (("png", _png(scene)), ("json", record)):
                    member = tarfile.TarInfo(f"{scene.number:09d}.{suffix}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))


def _write_coco(scenes: Scenes, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "images").mkdir()
    coco = _empty_coco()
    writer = None
    for first, last in _parts(scenes):
        rows = []
        for scene in _told(scenes, first, last):
            name = f"images/{scene.number:09d}.png"
            (folder / name).write_bytes(_png(scene))
            rows.append(_row(scene, name))
            _add_to_coco(coco, scene, name)
        table = pa.Table.from_pylist(rows)
        writer = writer or pq.ParquetWriter(folder / "captions.parquet", table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    (folder / "annotations.json").write_text(json.dumps(coco, ensure_ascii=False), encoding="utf-8")


def _row(scene: Scene, name: str) -> dict[str, Any]:
    """The row of the caption table; what is nested stands there as JSON."""
    record = scene_record(scene)
    nested = {
        key: json.dumps(record[key], ensure_ascii=False)
        for key in ("novelty", "tags", "things", "captions", "questions", "falsehoods")
    }
    return {"image": name, **{key: record[key] for key in ("caption", "seed", "split", "number")}, **nested}


def _empty_coco() -> dict[str, Any]:
    pool = load_pool()
    return {
        "info": {"description": "Scenes of bundled emoji pictures", "version": __version__, "contributor": "amodal"},
        "licenses": [{"id": 1, "name": "Noto Emoji Apache-2.0; Twemoji CC-BY 4.0; see ATTRIBUTION.txt", "url": ""}],
        "categories": [
            {"id": place + 1, "name": name, "supercategory": pool.split[place]} for place, name in enumerate(pool.names)
        ],
        "images": [],
        "annotations": [],
    }


def _add_to_coco(coco: dict[str, Any], scene: Scene, name: str) -> None:
    picture = scene.number + 1
    coco["images"].append({"id": picture, "file_name": name, "width": scene.size, "height": scene.size, "license": 1})
    for place, thing in enumerate(scene.things):
        left, top, right, bottom = thing.box
        coco["annotations"].append(
            {
                "id": len(coco["annotations"]) + 1,
                "image_id": picture,
                "category_id": thing.concept + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": thing.area,
                "iscrowd": 0,
                "segmentation": run_lengths(scene.owner == place + 1),
            }
        )


def _parts(scenes: Scenes) -> list[tuple[int, int]]:
    return [(first, min(first + PER_SHARD, len(scenes))) for first in range(0, len(scenes), PER_SHARD)]


def _told(scenes: Scenes, first: int, last: int) -> Iterator[Scene]:
    """Scenes `first` up to `last` - 1, with progress over all of them."""
    with progress("scenes", len(scenes), "scenes", done=first) as bar:
        for number in range(first, last):
            yield scenes[number]
            bar.update()


def _png(scene: Scene) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(scene.picture).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _made_from(scenes: Scenes, form: str) -> dict[str, Any]:
    return {
        "format": form,
        "split": scenes.split,
        "seed": scenes.seed,
        "count": scenes.count,
        "size": scenes.size,
        "language": scenes.language,
        "grammar": scenes.grammar,
        "versions": {"amodal": __version__, "numpy": np.__version__, "pillow": pillow_version},
    }


def _attribution() -> str:
    return (
        f"{ATTRIBUTION}\n\nChanges: the pictures were scaled, turned, tinted and put together over drawn backgrounds.\n"
        "Whoever passes the pictures on names these sources and licences.\n"
    )


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place on a clean exit and is removed otherwise. Raises UsageError."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder; give another with --out, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
    try:
        yield folder
        folder.chmod(0o755)
        if out.exists():
            out.rmdir()
        folder.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
