"""Blocks of an index read on a cluster by Ray Data (`amodal[ray]`, imported here alone): actors read, decode and embed,
and the process that asked for it writes. A block whose machine dies is read again by another one."""

import logging
import os
import pickle
import socket
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import amodal
from amodal.core.errors import AmodalError, DataError, UsageError
from amodal.search.blocks import Block, BlockReader, ReadBlock
from amodal.search.embedder import Embedder

BLOCKS_AT_ONCE = 4096
"""Blocks that are handed to Ray together: about a million pictures, whose paths and captions lie in its memory."""

ANSWERS_IN = 10.0
"""Seconds in which the head of a cluster must answer."""

TRIES = 5
"""So many workers may begin one block: a picture that kills whoever decodes it must not go on doing so."""


@dataclass
class RayCluster:
    """A cluster that `amodal.search.update` reads on.

    address: of the cluster ("10.0.0.1:6379"; "auto" for the one that this machine belongs to; "local" for one of this
    machine's cores, made and ended here); open: gives the model on each machine, travels there; gpus: whether they may
    be used where there are some. A worker takes one core, and its share of the GPUs. Raises UsageError without Ray.
    """

    address: str
    open: Callable[[], Embedder]
    gpus: bool = True
    say: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        if find_spec("ray") is None:
            raise UsageError("a cluster needs Ray; install it with: pip install amodal[ray]")
        if self.address.startswith("ray://"):
            raise UsageError(
                f"{self.address} is for Ray Client, which Ray Data does not support; run this on a machine of the "
                "cluster with --ray auto, or hand it over with: ray job submit -- amodal index ... --ray auto"
            )

    def read(
        self,
        reader: BlockReader,
        blocks: Iterable[Block],
        *,
        source: str,
        fingerprint: str,
        known: Collection[str],
        given: Collection[str],
    ) -> Iterator[ReadBlock]:
        """See `amodal.search.blocks.Cluster`."""
        with self._joined() as ray:
            yield from self._read(ray, blocks, _Job(reader, self.open, source, fingerprint, Names(known), Names(given)))

    def _read(self, ray: Any, blocks: Iterable[Block], job: "_Job") -> Iterator[ReadBlock]:
        have = ray.cluster_resources()
        cores = int(have.get("CPU", 0))
        if cores < 1:
            raise DataError(f"the cluster at {self.address} has no cores; add machines with: ray start --address=HEAD")
        share = min(1.0, have.get("GPU", 0) / cores) if self.gpus else 0.0
        self.say(
            f"reading on {cores} workers of {_machines(ray)} machines, {have.get('GPU', 0) if share else 0:g} GPUs"
        )
        tries = ray.remote(_Tries).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
        shared = ray.put(replace(job, tries=tries))
        numbered = enumerate(blocks)
        while some := list(islice(numbered, BLOCKS_AT_ONCE)):
            yield from self._each_once(some, shared, min(cores, len(some)), share)

    def _each_once(
        self, some: Sequence[tuple[int, Block]], shared: Any, workers: int, share: float
    ) -> Iterator[ReadBlock]:
        """These blocks read; what comes a second time, of a machine thought dead, is dropped."""
        import ray.data
        import ray.exceptions

        worker: Any = _Worker
        items = [{"number": number, "block": pickle.dumps(block)} for number, block in some]
        waiting = {number for number, _ in some}
        asked = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            worker,
            fn_constructor_args=(shared,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=1,
            num_gpus=share,
        )
        try:
            for row in asked.iter_rows():
                found = pickle.loads(row["read"])
                if isinstance(found, AmodalError):
                    raise found
                if row["number"] in waiting:
                    waiting.remove(row["number"])
                    yield found
        except ray.exceptions.RayError as error:
            raise DataError(
                f"the cluster at {self.address} gave up ({_first_line(error)}); what was read is kept, and the same "
                "command goes on; `ray status` and Ray's logs say more"
            ) from error
        if waiting:
            raise DataError(f"the cluster at {self.address} lost {len(waiting)} blocks; the same command reads them")

    @contextmanager
    def _joined(self) -> Iterator[Any]:
        """Ray, connected; a connection that is there already is used. What Ray prints goes to standard error."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        import ray
        import ray.data
        import ray.exceptions

        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is raised
        ray.data.DataContext.get_current().enable_progress_bars = False
        with redirect_stdout(sys.stderr):
            joined = ray.is_initialized()
            if not joined:
                self._connect(ray)
            try:
                yield ray
            finally:
                if not joined:
                    ray.shutdown()

    def _connect(self, ray: Any) -> None:
        own = {"include_dashboard": False} if self.address == "local" else {}
        host, _, port = self.address.rpartition(":")
        try:
            if host and port.isdigit():  # Ray itself would try for minutes
                socket.create_connection((host, int(port)), ANSWERS_IN).close()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of LanceDB: a process of Ray's is no fork of ours
                ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise DataError(
                f"no cluster of Ray {ray.__version__} answers at {self.address} ({_first_line(error)}); start one with "
                "`ray start --head`, or try --ray local"
            ) from error


class Names:
    """Names of contents, 32 bytes each, in one array that all workers of a machine share."""

    def __init__(self, contents: Iterable[str]) -> None:
        self.sorted_N = np.sort(np.array([bytes.fromhex(content) for content in contents], "S32"))

    def __contains__(self, content: object) -> bool:
        name = np.array(bytes.fromhex(str(content)), "S32")
        place = int(np.searchsorted(self.sorted_N, name))
        return place < len(self.sorted_N) and bool(self.sorted_N[place] == name)


@dataclass(frozen=True)
class _Job:
    """What all workers need; see `Cluster.read`. tries: the `_Tries` of all workers; version: of this package."""

    reader: BlockReader
    open: Callable[[], Embedder]
    source: str
    fingerprint: str
    known: Names
    given: Names
    tries: Any = None
    version: str = amodal.__version__


class _Tries:
    """An actor that counts how often each block was begun."""

    def __init__(self) -> None:
        self._of = Counter[int]()

    def begin(self, number: int) -> int:
        """-> how often this block was begun, this time included"""
        self._of[number] += 1
        return self._of[number]


class _Worker:
    """An actor: a process on some machine that opens the model once and reads block after block."""

    def __init__(self, job: Any) -> None:
        self._job = job

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A block. What a person can mend is handed back as it is, since Ray would wrap it."""
        (number,), (block,) = batch["number"], batch["block"]
        try:
            found = self._read(int(number), pickle.loads(block))
        except AmodalError as error:
            found = type(error)(f"on {socket.gethostname()}: {error}")
        return {"number": [number], "read": [pickle.dumps(found)]}

    def _read(self, number: int, block: Block) -> ReadBlock:
        import ray

        job = self.job
        begun: Any = ray.get(job.tries.begin.remote(number))
        if begun > TRIES:
            first, *_, last = *block, *block
            raise DataError(
                f"{TRIES} workers died while they read {first} to {last} of {job.source}: perhaps a picture kills "
                "them, or memory is short; Ray's logs say more"
            )
        if Path(job.source).is_absolute() and not Path(job.source).exists():  # else all its pictures would be broken
            raise DataError(f"{job.source} is not there; put it where all machines see it under one path")
        return job.reader(block, lambda: self.embedder, job.known, lambda: job.given)

    @cached_property
    def job(self) -> _Job:
        """Fetched once."""
        import ray

        job: _Job = ray.get(self._job)
        if job.version != amodal.__version__:
            raise UsageError(
                f"amodal is {amodal.__version__} there and {job.version} here; install the same everywhere"
            )
        return job

    @cached_property
    def embedder(self) -> Embedder:
        """The model. Raises DataError where it is not the one that was asked for."""
        model = self.job.open()
        if model.fingerprint != self.job.fingerprint:
            raise DataError(
                f"{model.name} is another model there ({model.fingerprint[:12]}) than here "
                f"({self.job.fingerprint[:12]}); give all machines the same files"
            )
        return model


def _machines(ray: Any) -> int:
    return sum(node["Alive"] and node["Resources"].get("CPU", 0) >= 1 for node in ray.nodes())


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
