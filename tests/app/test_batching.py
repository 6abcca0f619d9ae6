"""One thread computes what waits together: order, fairness, errors, time, and an orderly end."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from amodal.app.batching import Batching, Work
from amodal.app.deadline import set_deadline
from amodal.app.refusals import Refused


class Gate:
    """Work that waits until it is let go, and notes what it was given together."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.threads: set[int] = set()
        self.begun, self.go = threading.Event(), threading.Event()

    def run(self, items: list[Any]) -> list[Any]:
        self.threads.add(threading.get_ident())
        self.begun.set()
        assert self.go.wait(10)
        self.batches.append(items)
        if "bad" in items:
            raise ValueError("a bad one")
        return [str(item).upper() for item in items]


@pytest.fixture
def gate() -> Gate:
    return Gate()


def waiting(batching: Batching, count: int) -> None:
    until = time.monotonic() + 10
    while batching.waiting < count:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_what_waits_is_computed_together_and_given_back_in_order(gate: Gate) -> None:
    told: list[tuple[str, int]] = []
    batching = Batching({"x": Work(gate.run, 8)}, lambda kind, size: told.append((kind, size)))
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(batching, "x", ["a"])
        assert gate.begun.wait(10)  # busy: from here on everything waits
        others = []
        for number in range(5):
            others.append(pool.submit(batching, "x", [f"b{number}", f"c{number}"]))
            waiting(batching, 2 * (number + 1))
        gate.go.set()
        assert first.result(10) == ["A"]
        assert [each.result(10) for each in others] == [[f"B{n}", f"C{n}"] for n in range(5)]
    assert [len(batch) for batch in gate.batches] == [1, 8, 2]  # never more than 8, nobody's items torn apart
    assert told == [("x", 1), ("x", 8), ("x", 2)]
    assert len(gate.threads) == 1
    batching.close()


def test_kinds_take_turns_by_age(gate: Gate) -> None:
    batching = Batching({"x": Work(gate.run, 8), "y": Work(gate.run, 8)})
    with ThreadPoolExecutor(8) as pool:
        pool.submit(batching, "x", ["first"])
        assert gate.begun.wait(10)
        for number, (kind, item) in enumerate([("y", "y0"), ("x", "x0"), ("y", "y1"), ("x", "x1")]):
            pool.submit(batching, kind, [item])
            waiting(batching, number + 1)
        gate.go.set()
    assert gate.batches == [["first"], ["y0", "y1"], ["x0", "x1"]]
    batching.close()


def test_a_large_job_lets_others_in_between(gate: Gate) -> None:
    batching = Batching({"x": Work(gate.run, 4)})
    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(batching, "x", list(range(12)))
        assert gate.begun.wait(10)
        small = pool.submit(batching, "x", ["small"])
        waiting(batching, 1)
        gate.go.set()
        assert small.result(10) == ["SMALL"]
        assert large.result(10) == [str(n) for n in range(12)]
    assert gate.batches.index(["small"]) == 1
    batching.close()


def test_one_that_fails_does_not_spoil_the_others(gate: Gate) -> None:
    batching = Batching({"x": Work(gate.run, 8)})
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batching, "x", ["a"])
        assert gate.begun.wait(10)
        good, bad, other = (pool.submit(batching, "x", [item]) for item in ("good", "bad", "other"))
        waiting(batching, 3)
        gate.go.set()
        assert [each.result(10) for each in (first, good, other)] == [["A"], ["GOOD"], ["OTHER"]]
        with pytest.raises(ValueError, match="a bad one"):
            bad.result(10)
    batching.close()


def test_who_gives_up_is_not_computed_for(gate: Gate) -> None:
    batching = Batching({"x": Work(gate.run, 8)})

    def hasty() -> None:
        set_deadline(0.05)
        batching("x", ["hasty"])

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batching, "x", ["a"])
        assert gate.begun.wait(10)
        with pytest.raises(Refused, match="longer than the service allows") as refused:
            pool.submit(hasty).result(10)
        assert refused.value.status == 504
        gate.go.set()
        assert first.result(10) == ["A"]
    batching.close()
    assert gate.batches == [["a"]]


def test_the_end_finishes_what_waits_and_lets_nothing_in(gate: Gate) -> None:
    batching = Batching({"x": Work(gate.run, 1)})
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(batching, "x", [item]) for item in "ab"]
        assert gate.begun.wait(10)
        waiting(batching, 1)
        closing = pool.submit(batching.close)
        gate.go.set()
        assert [each.result(10) for each in asked] == [["A"], ["B"]]
        closing.result(10)
    with pytest.raises(Refused, match="stopping"):
        batching("x", ["late"])
