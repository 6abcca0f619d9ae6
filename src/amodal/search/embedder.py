"""What an index asks of a model: its name and its two functions. So this room knows no model."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import amodal
from amodal.data.rows import Row, SkipLog
from amodal.search.calibration import Calibration

PACKAGED_NAME = "packaged"
_PACKAGED = Path(amodal.__file__).parent / "inference" / "default"
_DECIDING = (".safetensors", ".yaml", ".json", ".bin", ".pth", ".txt", ".model")


@dataclass(frozen=True, kw_only=True)
class Embedder:
    """A model as an index sees it.

    name: for people; source: what opens it again, "" for the packaged one; revision: what its files are, cheaply told,
    "" where that is not; fingerprint: of all its weights; images: rows -> unit vectors (N, D) of the readable ones, and
    which these are; texts: -> unit vectors (M, D); languages: those it was trained in, where that is known;
    calibration: what the cosines of words with pictures mean, None where that was not learnt.
    """

    name: str
    source: str
    revision: str
    fingerprint: str
    dimension: int
    images: Callable[[Sequence[Row], SkipLog], tuple[np.ndarray, list[int]]]
    texts: Callable[[Sequence[str]], np.ndarray]
    languages: tuple[str, ...] = ()
    calibration: Calibration | None = None


def lasting_name(source: str | Path) -> str:
    """The same model for a process in any folder: what names a file or a folder made absolute, alone or behind the last
    colon of a part."""
    if Path(source).exists():
        return str(Path(source).absolute())
    parts = (part.rpartition(":") for part in str(source).split("+"))
    named = (f"{kind}{colon}{Path(it).absolute() if it and Path(it).exists() else it}" for kind, colon, it in parts)
    return "+".join(named)


def model_revision(source: str) -> str:
    """What a model's folder holds, told without opening it: names, sizes and times of its files, and our version.

    source: a folder, as `hf:FOLDER` too, "" for the packaged model; -> "" for anything else, which can only be opened
    to be known.
    """
    folder = Path(source.removeprefix("hf:")) if source else _PACKAGED
    if not folder.is_dir():
        return ""
    files = sorted(path for path in folder.iterdir() if path.suffix in _DECIDING)
    said = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr((amodal.__version__, said)).encode()).hexdigest()
