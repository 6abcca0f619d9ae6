"""Two ways of one job timed side by side, and the memory of a process, for the benchmarks beside this file."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path


def spent(jobs: Iterable[Mapping[str, Callable[[], object]]]) -> dict[str, list[float]]:
    """Seconds that each way took for each job; they take turns job by job, so that a busy machine slows all alike.

    jobs: way -> what to run, once for each job; the first warms up and is left out.
    """
    seconds: dict[str, list[float]] = {}
    for number, ways in enumerate(jobs):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            if number > 0:
                seconds.setdefault(name, []).append(time.perf_counter() - started)
    return seconds


def memory(field: str) -> float:
    """Gigabytes that this process holds (VmRSS) or has held at most (VmHWM), as Linux says it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e9
