"""The index brought up to date in a process of its own, and what it tells on its way."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from amodal.core.errors import AmodalError
from amodal.core.progress import Progress, listening


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is brought up to date, and with which model (as `amodal.load` takes it) on which device."""

    where: str
    model: str
    device: str


@dataclass
class Told:
    """The latest of an update. number: which one since the service started; event: `progress`, `done` or `error`."""

    number: int
    event: str = "progress"
    data: Mapping[str, Any] = field(default_factory=dict)


class Updater:
    """At most one update at a time. finished: called after each that went well; told: all of the last one, in order."""

    def __init__(self, job: Job, finished: Callable[[], None]) -> None:
        self.job, self.finished = job, finished
        self.told = list[Told]()
        self._lock = threading.Lock()
        self._process: Any = None

    @property
    def latest(self) -> Told | None:
        """The latest of the last one; None before the first."""
        return self.told[-1] if self.told else None

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self.latest is not None and self.latest.event == "progress"

    def start(self) -> bool:
        """Starts one; False where one runs already."""
        with self._lock:
            if self.running:
                return False
            number = 1 if self.latest is None else self.latest.number + 1
            start = {"said": "looking for what is new", "done": 0, "total": None, "rate": None, "left": None}
            self.told = [Told(number, "progress", start)]
            context = multiprocessing.get_context("spawn")
            reader, writer = context.Pipe(duplex=False)
            self._process = context.Process(target=_update, args=(self.job, writer), daemon=True)
            self._process.start()
            writer.close()
            threading.Thread(target=self._listen, args=(number, reader, self._process), daemon=True).start()
            return True

    def stop(self) -> None:
        """Ends the one that runs; what it committed stays, and the next one goes on from there."""
        with self._lock:
            if self._process is not None and self._process.is_alive():
                self._process.terminate()
                self._process.join()

    def _listen(self, number: int, reader: Connection, process: Any) -> None:
        last = None
        try:
            while True:
                last = Told(number, *reader.recv())
                if last.event == "progress":
                    self.told.append(last)
        except (EOFError, OSError):
            pass
        process.join()
        if last is None or last.event == "progress":
            last = Told(number, "error", {"message": "the update was stopped; the next one goes on from where it was"})
        if last.event == "done":
            self.finished()
        self.told.append(last)


def _update(job: Job, writer: Connection) -> None:
    """In the process of its own: all sources of the index, one after the other."""
    from amodal.inference import load
    from amodal.search import Store, model_revision, update

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends this one
    if hasattr(os, "nice"):
        os.nice(10)  # requests come first
    said = {"said": "", "done": 0, "total": None, "rate": None, "left": None}

    def tell(**news: Any) -> None:
        said.update(news)
        writer.send(("progress", dict(said)))

    def heard(bar: Progress) -> None:
        rate = bar.rate(time.monotonic())
        left = (bar.total - bar.done) / rate if rate > 0 else None
        tell(said=bar.label, done=bar.done, total=bar.total, rate=round(rate, 2), left=left and round(left, 1))

    try:
        with listening(heard):
            found = Store(job.where).growing()
            sources = () if found is None else found[1].sources
            counts, pictures, skipped = {"added": 0, "changed": 0, "deleted": 0}, 0, 0
            for source in sources:
                tell(said=f"looking at {source}")
                done = update(
                    job.where,
                    source,
                    lambda: load(job.model or None, device=job.device).embedder,
                    revision=model_revision(job.model),
                    say=lambda line: tell(said=line),
                )
                counts = {name: count + getattr(done, name) for name, count in counts.items()}
                pictures, skipped = done.pictures, skipped + len(done.skipped)
        gone = counts.pop("deleted")
        writer.send(("done", {"pictures": pictures, **counts, "gone": gone, "skipped": skipped}))
    except AmodalError as error:
        writer.send(("error", {"message": str(error)}))
    except Exception as error:
        writer.send(("error", {"message": f"unexpected {type(error).__name__}; the service's log tells more"}))
        raise
