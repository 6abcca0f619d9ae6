"""Until when the request that is being worked on must be answered; whoever waits for something asks here."""

import time
from contextvars import ContextVar

from amodal.app.refusals import Refused

_until: ContextVar[float] = ContextVar("_until", default=float("inf"))


def set_deadline(seconds: float) -> None:
    """From now on what runs in this context has so many seconds."""
    _until.set(time.monotonic() + seconds)


def seconds_left() -> float | None:
    """Seconds that are left, None for any number of them. Raises Refused where none is."""
    left = _until.get() - time.monotonic()
    if left <= 0:
        raise too_late()
    return None if left == float("inf") else left


def too_late() -> Refused:
    """What a request that took too long is told."""
    return Refused(504, "this took longer than the service allows; ask for less at once, or again when it is less busy")
