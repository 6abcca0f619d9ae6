"""Published documents: a file of another form is refused by name, one bad entry in it is skipped and counted."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from amodal.core.errors import DataError
from amodal.data.masks import BadAnnotation
from amodal.data.rows import SkipLog
from amodal.data.tables import read_text

_MALFORMED = (ValueError, LookupError, TypeError, AttributeError)
Entry = TypeVar("Entry")


@contextmanager
def in_form(path: Path, form: str) -> Iterator[None]:
    """What goes wrong inside becomes a DataError that names the file and the form it should have."""
    try:
        yield
    except _MALFORMED as error:
        raise DataError(f"{path} is not in {form} ({error!r}); unpack the archive again") from error


def read_json(path: Path) -> Any:
    """The document in a file. Raises DataError where it is missing, empty or no text, ValueError if it is no JSON."""
    return json.loads(read_text(path))


def usable(
    path: Path, name: str, entries: Iterable[Any], made: Callable[[Any], Entry], skipped: SkipLog
) -> Iterator[Entry]:
    """`made` of each entry; one that it cannot be made of is skipped, by the entry's own `name` ("region_id")."""
    for number, entry in enumerate(entries, start=1):
        try:
            yield made(entry)
        except (BadAnnotation, *_MALFORMED) as error:
            known = isinstance(entry, dict) and name in entry
            key = f"{path.name}:{name} {entry[name]}" if known else f"{path.name}:entry {number}"
            skipped.add(key, str(error) if isinstance(error, BadAnnotation) else f"malformed entry: {error!r}")


def first_folder(*folders: Path) -> Path | None:
    """The first that is there."""
    return next((folder for folder in folders if folder.is_dir()), None)
