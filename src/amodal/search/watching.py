"""A folder watched, and what to do after each change (`watchfiles` of `amodal[search]`, imported here alone)."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from amodal.core.errors import DataError, UsageError
from amodal.data.tables import ADDRESS

WAIT_MS = 1600
"""Quiet after which changes that come together count as one."""


def check_watched(source: str) -> None:
    """Raises DataError for a source that is not there, UsageError for a URL and without the extra."""
    if ADDRESS.match(source):
        raise UsageError(
            f"{source} cannot be watched: nothing tells of changes there; run the command again now and then"
        )
    if not Path(source).expanduser().exists():
        raise DataError(f"{source} does not exist and cannot be watched; check the path")
    if find_spec("watchfiles") is None:
        raise UsageError("watching needs watchfiles; install it with: pip install amodal[search]")


def watch(
    source: str,
    changed: Callable[[], None],
    *,
    ignored: str = "",
    rounds: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Calls `changed` after each change in and below a folder, or of a table's folder, until it is stopped.

    A DataError of it is said, and the next change tried: a table may be half written. ignored: a folder of which
    changes do not count, as that of the index; rounds: return after so many. Raises what `check_watched` raises.
    """
    check_watched(source)
    from watchfiles import watch as changes

    path = Path(source).expanduser()
    folder, passed = path if path.is_dir() else path.parent, Path(ignored).absolute() if ignored else None

    def counts(_: object, changed_path: str) -> bool:
        return passed is None or not Path(changed_path).absolute().is_relative_to(passed)

    for number, _ in enumerate(changes(folder.absolute(), watch_filter=counts, debounce=WAIT_MS), start=1):
        try:
            changed()
        except DataError as error:
            say(f"{error} (still watching)")
        if number == rounds:
            return
