"""Every picture of a table decoded once, small, and forgotten: what stays are arrays of a few hundred bytes a picture.

N pictures
"""

import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np

from amodal.audit.near import Looks
from amodal.core.errors import DataError
from amodal.core.progress import progress
from amodal.data.looks import CELLS, GREY_SIDE, Seen, see_all
from amodal.data.rows import Row

PICTURES_A_TASK = 64


@dataclass(frozen=True)
class Measured:
    """What is known of N pictures. content: (N, 2) uint64 halves of a hash of the bytes; size: (N, 2) width, height.

    broken: number -> why it cannot be read.
    """

    content: np.ndarray
    size: np.ndarray
    looks: Looks
    broken: dict[int, str]

    @property
    def readable(self) -> np.ndarray:
        """Numbers of the pictures that could be read."""
        return np.setdiff1d(np.arange(len(self.size)), np.fromiter(self.broken, dtype=np.int64))


def measure_pictures(rows: Sequence[Row], workers: int = 0) -> Measured:
    """Reads each picture once, in `workers` processes beside this one (0: in this one).

    Raises DataError when a worker dies; a program that asks for workers must be importable, as spawned ones are.
    """
    count = len(rows)
    content, size = np.zeros((count, 2), np.uint64), np.zeros((count, 2), np.int32)
    hashes, deviation = np.zeros(count, np.uint64), np.zeros(count, np.float32)
    grey, colour = np.zeros((count, GREY_SIDE**2), np.uint8), np.zeros((count, 2 * CELLS**2), np.uint8)
    broken: dict[int, str] = {}
    with progress("Pictures", count, "pictures") as bar:
        for number, seen in enumerate(itertools.chain.from_iterable(_all_seen(rows, workers))):
            if isinstance(seen, str):
                broken[number] = seen
            else:
                content[number], size[number] = seen.content, seen.size
                hashes[number], grey[number], colour[number], deviation[number] = seen.look
            bar.update()
    return Measured(content, size, Looks(hashes, grey, colour, deviation), broken)


def _all_seen(rows: Sequence[Row], workers: int) -> Iterator[list[Seen | str]]:
    """What was seen of each task's pictures, in order; no more tasks are under way than keep the workers busy.

    Control-C reaches every process of a terminal: this one answers it and ends the others, which do not listen.
    """
    tasks = ([row.picture for row in part] for part in _parts(rows))
    if workers == 0:
        yield from map(see_all, tasks)
        return
    waiting: deque[Future[list[Seen | str]]] = deque()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    done = 0
    try:
        for task in tasks:
            waiting.append(pool.submit(see_all, task))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
                done += 1
        while waiting:
            yield waiting.popleft().result()
            done += 1
    except BrokenProcessPool as error:
        first = rows[min(done * PICTURES_A_TASK, len(rows) - 1)].key
        raise DataError(
            f"a process that read pictures died, near {first} or soon after it; was memory short? With workers=0 "
            "pictures are read in the program itself"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    return (rows[start : start + PICTURES_A_TASK] for start in range(0, len(rows), PICTURES_A_TASK))
