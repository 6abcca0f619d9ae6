"""A folder watched, and what to do after each change (`watchfiles` of `amodal[search]`, imported here alone)."""

from collections.abc import Callable
from pathlib import Path

from amodal.core.errors import DataError, UsageError

WAIT_MS = 1600
"""Quiet after which changes that come together count as one."""


def watch(source: str, changed: Callable[[], None], *, ignored: str = "", rounds: int | None = None) -> None:
    """Calls `changed` after each change in and below a folder, or of a table's folder, until it is stopped.

    ignored: a folder of which changes do not count, as that of the index; rounds: return after so many.
    Raises DataError for a source that is not there, UsageError without the extra.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(f"{source} does not exist and cannot be watched; check the path")
    try:
        from watchfiles import watch as changes
    except ImportError as error:
        raise UsageError("watching needs watchfiles; install it with: pip install amodal[search]") from error
    folder, passed = path if path.is_dir() else path.parent, Path(ignored).absolute() if ignored else None

    def counts(_: object, changed_path: str) -> bool:
        return passed is None or not Path(changed_path).absolute().is_relative_to(passed)

    for number, _ in enumerate(changes(folder.absolute(), watch_filter=counts, debounce=WAIT_MS), start=1):
        changed()
        if number == rounds:
            return
