"""What the last whole run saw, in one small file of the index: an unchanged folder is known without the database."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amodal.core.files import atomic_write

_FORMAT = 2
MOST = 1_000_000
"""Paths beyond which the file is not kept: reading it would take as long as the database."""


@dataclass(frozen=True)
class Seen:
    """The state after a whole run. origin: what opens the model; revision: of its files; place: whether positions are
    kept; marks: source -> path -> mark, see `Survey`; answer: what the run said in the end."""

    origin: str
    revision: str
    place: bool
    marks: Mapping[str, Mapping[str, str]]
    answer: Mapping[str, Any]


def read_seen(where: str) -> Seen | None:
    """What was kept; None where nothing was, where an index is changing, or beyond this machine."""
    try:
        found = json.loads(_file(where).read_text(encoding="utf-8"))
        return Seen(**found["seen"]) if found["format"] == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_seen(where: str, seen: Seen) -> None:
    """Keeps it, beside an index on this machine."""
    if "://" not in where and sum(map(len, seen.marks.values())) <= MOST:
        atomic_write(_file(where), json.dumps({"format": _FORMAT, "seen": vars(seen)}))


def forget_seen(where: str) -> None:
    """Before anything changes: from now on the database alone is believed."""
    if "://" not in where:
        _file(where).unlink(missing_ok=True)


def _file(where: str) -> Path:
    return Path(where) / "seen.json"
