"""One thread that computes: what waits for it is taken together, whoever asked for it."""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from amodal.app.deadline import seconds_left, too_late
from amodal.app.refusals import Refused


@dataclass(frozen=True)
class Work:
    """A kind of work. run: items -> as many results; most: items that are taken at once."""

    run: Callable[[list[Any]], Sequence[Any]]
    most: int


@dataclass
class _Job:
    kind: str
    items: Sequence[Any]
    done: Future[Sequence[Any]] = field(default_factory=Future)


class Batching:
    """Items of a kind in, results out; callers wait in their own threads while one other thread computes.

    While that is busy, what comes in waits, and is then computed in one go, the oldest first: nobody waits for a batch
    to fill. told: called with each batch's kind and size.
    """

    def __init__(self, works: Mapping[str, Work], told: Callable[[str, int], None] = lambda kind, size: None) -> None:
        self.works, self.told = works, told
        self._waiting: deque[_Job] = deque()
        self._changed, self._closed = threading.Condition(), False
        self._computing = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._dealing = threading.Thread(target=self._deal, name="batches", daemon=True)
        self._dealing.start()

    def __call__(self, kind: str, items: Sequence[Any]) -> list[Any]:
        """The results of these items, in order. Raises what the work raises, and Refused when time is up."""
        most, results = self.works[kind].most, list[Any]()
        for start in range(0, len(items), most):  # a part at a time, so that others get their turn in between
            results.extend(self._part(_Job(kind, items[start : start + most])))
        return results

    @property
    def waiting(self) -> int:
        """Items that wait."""
        with self._changed:
            return sum(len(job.items) for job in self._waiting)

    def close(self) -> None:
        """Finishes what waits, and ends."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._dealing.join()
        self._computing.shutdown()

    def _part(self, job: _Job) -> Sequence[Any]:
        left = seconds_left()
        with self._changed:
            if self._closed:
                raise Refused(503, "the service is stopping; ask again when it runs")
            self._waiting.append(job)
            self._changed.notify()
        try:
            return job.done.result(left)
        except TimeoutError:
            job.done.cancel()
            raise too_late() from None

    def _deal(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                jobs = self._taken()
            if jobs:
                self._compute(jobs)

    def _taken(self) -> list[_Job]:
        """Jobs of the oldest one's kind, in order, as many as are taken at once; those that nobody waits for any more
        are dropped."""
        kind = self._waiting[0].kind
        taken, kept, room = list[_Job](), deque[_Job](), self.works[kind].most
        for job in self._waiting:
            if job.kind != kind or len(job.items) > room:
                kept.append(job)
                room = 0 if job.kind == kind else room  # nobody overtakes
            elif job.done.set_running_or_notify_cancel():
                taken.append(job)
                room -= len(job.items)
        self._waiting = kept
        return taken

    def _compute(self, jobs: Sequence[_Job]) -> None:
        items = [item for job in jobs for item in job.items]
        computed = self._computing.submit(self.works[jobs[0].kind].run, items)
        error = computed.exception()
        if error is not None and len(jobs) == 1:
            jobs[0].done.set_exception(error)
        elif error is not None:  # one of them spoils it: each by itself
            for job in jobs:
                self._compute([job])
        else:
            self.told(jobs[0].kind, len(items))
            place, results = 0, computed.result()
            for job in jobs:
                job.done.set_result(results[place : place + len(job.items)])
                place += len(job.items)
