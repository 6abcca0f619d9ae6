"""LanceDB (`amodal[search]`, imported here alone): its door, and what it says is wrong in words for people."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from amodal.core.errors import DataError, UsageError
from amodal.core.files import only_one
from amodal.search.layout import HIDDEN


class FilterError(UsageError):
    """A filter that a table cannot be asked with."""


_ANSWER = re.compile("<Message>(.*?)</Message>")
"""What an object store says went wrong, within all that is said of it."""


@contextmanager
def alone(where: str) -> Iterator[None]:
    """One writer at a time, on one machine. Raises DataError where there is another."""
    if "://" in where:
        yield
        return
    with only_one(Path(where) / "lock") as held:
        if not held:
            raise DataError(f"{where} is being changed by another process; wait for it, or stop it")
        yield


def refuse_unfit(where: str) -> None:
    """Raises UsageError for a folder of something else, and without LanceDB: before anything is written there."""
    lancedb()
    folder = Path(where)
    inside = {path.name for path in folder.iterdir()} if "://" not in where and folder.is_dir() else set()
    if inside - {"lock", "seen.json", "thumbnails"} and not any(name.endswith(".lance") for name in inside):
        raise UsageError(f"{where} holds other files and no index; name a new folder with --out")


def optimize(table: Any, age: timedelta) -> None:
    """Puts the pieces of a table together, and deletes versions of that age."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that older versions go is what is asked for
        table.optimize(cleanup_older_than=age, delete_unverified=age == timedelta(0))


def lancedb() -> Any:
    """The package. Raises UsageError without it."""
    try:
        import lancedb
        import lancedb.index
    except ImportError as error:
        raise UsageError("an index needs LanceDB; install it with: pip install amodal[search]") from error
    return lancedb


@contextmanager
def filtered(table: Any) -> Iterator[None]:
    """What is wrong with a filter on a table, as FilterError, with what can be asked for."""
    try:
        yield
    except ValueError as error:
        said = re.split(r", (?:/|location: )|; valid fields|[.] Valid fields", str(error))[0]
        said = said.removeprefix("Invalid input, ").replace("Schema error: ", "").rstrip(". ")
        there = ", ".join(sorted(set(table.schema.names) - set(HIDDEN)))
        raise FilterError(
            f"the filter cannot be used: {said}. There is {there}; a text stands in 'quotes', a day is written "
            "date '2015-01-31', and captions hold a text by array_has(captions, 'a dog')"
        ) from error


@contextmanager
def told(where: str) -> Iterator[None]:
    """What LanceDB cannot do, with the place: a full disk, no permission, an object store that does not answer."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        said = _ANSWER.search(str(error))
        reason = said[1] if said else str(error).partition(", location: ")[0]
        raise DataError(f"{where}: {reason}; check the place, its free space and your permissions") from error
