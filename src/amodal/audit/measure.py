"""Every picture of a table decoded once, small, and forgotten: what stays are arrays of a few hundred bytes a picture.

N pictures
"""

import hashlib
import itertools
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from amodal.audit.looks import CELLS, GREY_SIDE, SIDE, Look, look_at
from amodal.audit.near import Looks
from amodal.core.errors import DataError
from amodal.core.progress import progress
from amodal.data.pictures import BrokenPicture, PictureRef, PixelRef, picture_size
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


class _Seen(NamedTuple):
    content: np.ndarray
    size: tuple[int, int]
    look: Look


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


def _all_seen(rows: Sequence[Row], workers: int) -> Iterator[list[_Seen | str]]:
    """What was seen of each task's pictures, in order; no more tasks are under way than keep the workers busy."""
    tasks = ([row.picture for row in part] for part in _parts(rows))
    if workers == 0:
        yield from map(_see_all, tasks)
        return
    waiting: deque[Future[list[_Seen | str]]] = deque()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts)
    done = 0
    try:
        for task in tasks:
            waiting.append(pool.submit(_see_all, task))
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


def _see_all(pictures: Iterable[PictureRef]) -> list[_Seen | str]:
    return [_see(picture) for picture in pictures]


def _see(picture: PictureRef) -> _Seen | str:
    """What is kept of a picture, or why it cannot be read."""
    try:
        content, image = picture.content(), picture.image(SIDE)
        size = image.size if isinstance(picture, PixelRef) else picture_size(content)
    except BrokenPicture as broken:
        return str(broken)
    digest = hashlib.blake2b(content, digest_size=16).digest()
    return _Seen(np.frombuffer(digest, np.uint64), size, look_at(image))


def _leave_interrupts() -> None:
    """Control-C reaches every process of a terminal; the one that asked answers it, and then ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
