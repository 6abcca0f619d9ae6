"""Progress with rate and time left: a bar on a terminal, plain lines elsewhere, always on standard error."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts finished items of one piece of work. `update(done)` is cheap enough for every step."""

    def __init__(self, label: str, total: int, unit: str, done: int = 0, *, shown: bool = True) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, done
        self._speaks = shown
        self._first, self._started = done, time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._shown = self._started if not self._terminal else 0.0

    def update(self, amount: int = 1, note: str = "") -> None:
        """Adds `amount` finished items and shows the state when it is time to."""
        self.done += amount
        now = time.monotonic()
        listener = _listener.get()
        if listener is not None and self._speaks:
            listener(self)
        if now - self._shown >= (0.1 if self._terminal else SECONDS_BETWEEN_LINES):
            self._shown = now
            self._show(now, note)

    def rate(self, now: float) -> float:
        """Items a second so far."""
        return (self.done - self._first) / max(now - self._started, 1e-9)

    def close(self) -> None:
        """Clears the bar of a terminal; a file keeps its lines."""
        if self._terminal and self._speaks:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)

    def _show(self, now: float, note: str) -> None:
        if not (self._speaks and speaks()):
            return
        rate = self.rate(now)
        left = (self.total - self.done) / rate if rate > 0 else float("inf")
        count = f"{self.done:,}/{self.total:,} {self.unit}"
        text = f"{self.label} {count} · {rate:,.0f}/s · {clock(left)} left {note}".rstrip()
        if self._terminal:
            filled = round(24 * self.done / max(self.total, 1))
            print(f"\r\x1b[2K{'━' * filled}{'─' * (24 - filled)} {text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)


_inside: ContextVar[bool] = ContextVar("_inside", default=False)
_listener: ContextVar[Callable[[Progress], None] | None] = ContextVar("_listener", default=None)


@contextmanager
def listening(listener: Callable[[Progress], None]) -> Iterator[None]:
    """Inside, each update of a progress that is shown is told to the listener, too."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def progress(label: str, total: int, unit: str, done: int = 0) -> Iterator[Progress]:
    """A `Progress` that closes itself, also when the work fails. Inside another one it counts and shows nothing."""
    bar = Progress(label, total, unit, done, shown=not _inside.get())
    token = _inside.set(True)
    try:
        yield bar
    finally:
        _inside.reset(token)
        bar.close()


def speaks() -> bool:
    """Whether this process tells people what goes on: of several, the first one does."""
    return os.environ.get("RANK", "0") == "0"


def clock(seconds: float) -> str:
    """A duration as a person reads it: 5 s, 3 min 20 s, 2 h 5 min; an infinite one as a question mark."""
    if seconds == float("inf"):
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
