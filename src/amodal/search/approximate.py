"""Whether an approximate index is worth it: measured on this machine and these vectors, never assumed.

Q queries · D width of the joint space
"""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from amodal.search.store import Store

SLOW = 0.05
"""Seconds of an exact search from which an approximate one is tried at all; a person does not feel less."""

RECALL = 0.95
"""Share of the ten nearest that an approximate index must find."""

QUERIES, NEAREST = 32, 10
GROWN = 1.5
"""The choice is made anew when the table has grown by this factor."""

KINDS = ("IVF_RQ", "IVF_HNSW_SQ", "IVF_PQ")
SEARCHES = ((8, 4), (20, 4), (72, 3), (120, 3), (180, 3), (180, 40))
"""(partitions looked at, rows looked at again for each wanted), from fast to thorough."""


def choose(store: Store, table: str, queries_QD: np.ndarray, say: Callable[[str], None]) -> Mapping[str, Any]:
    """How a table is best searched, as `Store.nearest` takes it: by a kind of index, or "" for exactly.

    Exact search stays where it takes less than `SLOW`. Else the kinds of `KINDS` are built in turn until one finds
    `RECALL` of the exact neighbours of the queries in half the time or less. What was measured is said.
    """
    rows = store.count(table)
    store.drop_approximate(table)
    truth, exact = _measured(store, table, queries_QD, None)
    plain = {"kind": "", "rows": rows, "milliseconds": round(1000 * exact, 2)}
    if exact < SLOW:
        say(f"exact search: {_ms(exact)} a query over {rows:,} pictures; no approximate index is needed")
        return plain
    for kind in KINDS:
        started = time.perf_counter()
        store.build_approximate(table, kind)
        built = time.perf_counter() - started
        for probes, refine in SEARCHES:
            way = {"kind": kind, "probes": probes, "refine": refine, "rows": rows}
            found, spent = _measured(store, table, queries_QD, way)
            recall = float(np.mean([len(one & two) / max(len(two), 1) for one, two in zip(found, truth, strict=True)]))
            if recall >= RECALL and spent <= exact / 2:
                say(
                    f"approximate index {kind}, built in {built:.0f} s: {_ms(spent)} a query with {recall:.3f} of the "
                    f"nearest {NEAREST}, exact {_ms(exact)}; {probes} partitions, refined by {refine}"
                )
                return {**way, "recall": round(recall, 4), "milliseconds": round(1000 * spent, 2)}
    store.drop_approximate(table)
    say(f"exact search: {_ms(exact)} a query; no approximate index finds {RECALL:.0%} of the nearest in half the time")
    return plain


def _measured(
    store: Store, table: str, queries_QD: np.ndarray, way: Mapping[str, Any] | None
) -> tuple[Sequence[set[tuple[str, str]]], float]:
    """What is found for each query, and the median seconds; the first query warms up."""
    store.nearest(table, queries_QD[0], NEAREST, ("source", "path"), approximate=way)
    found, seconds = [], []
    for query_D in queries_QD:
        started = time.perf_counter()
        rows = store.nearest(table, query_D, NEAREST, ("source", "path"), approximate=way)
        seconds.append(time.perf_counter() - started)
        found.append({(row["source"], row["path"]) for row in rows})
    return found, median(seconds)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"
