"""How many false negatives a batch holds, expected exactly from the sizes of groups that belong together."""

from collections import Counter
from collections.abc import Iterable, Sequence

from amodal.audit.findings import FalseNegatives

BATCHES = (32, 128, 512, 2048, 8192, 32768)


def expected_pairs(sizes: Iterable[int], rows: int, batch: int) -> float:
    """Ordered pairs of different rows of one group in a batch drawn from `rows` without replacement, on average.

    Each ordered pair of rows is in the batch with the chance batch (batch - 1) / (rows (rows - 1)).
    """
    if rows < 2:
        return 0.0
    together = sum(size * (size - 1) for size in sizes)
    return together * batch * (batch - 1) / (rows * (rows - 1))


def false_negatives(groups: Sequence[int], pairs: Sequence[str]) -> tuple[FalseNegatives, ...]:
    """For the usual batch sizes and the whole set's. groups, pairs: of each row; rows of one pair share a group."""
    rows = len(groups)
    group_sizes, pair_sizes = Counter(groups).values(), Counter(pairs).values()
    found = []
    for batch in [size for size in BATCHES if size <= rows] or [rows]:
        blind = expected_pairs(group_sizes, rows, batch)
        left = blind - expected_pairs(pair_sizes, rows, batch)
        found.append(FalseNegatives(batch, blind, max(left, 0.0)))
    return tuple(found)
