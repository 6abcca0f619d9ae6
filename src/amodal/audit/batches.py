"""How many false negatives a batch holds, expected exactly from the sizes of groups that belong together.

N rows · E entries: a row with one of the captions that it shares with others
"""

from collections.abc import Mapping, Sequence

import numpy as np

from amodal.audit.findings import FalseNegatives
from amodal.data.rows import Row

BATCHES = (32, 128, 512, 2048, 8192, 32768)


def false_negatives(
    rows: Sequence[Row], among: Sequence[int], looks: Sequence[int], texts: Mapping[str, Sequence[int]]
) -> tuple[FalseNegatives, ...]:
    """Entries of a batch's matrix, pictures by captions, off the diagonal and yet true; on average, for usual sizes.

    A batch is drawn from the rows `among` without replacement, and each row draws one of its captions. The picture of
    one row and the caption of another belong together when the rows share their picture (looks: a number for each row,
    the same for the same picture) or their pair, or when the caption is one of the first row's too (texts: caption ->
    its rows). In a batch of B of N rows every ordered pair of rows meets with the chance B (B - 1) / (N (N - 1)).
    """
    count = len(among)
    place = {number: index for index, number in enumerate(among)}
    pair_names = {pair: index for index, pair in enumerate(dict.fromkeys(rows[number].pair for number in among))}
    pair_N = np.array([pair_names[rows[number].pair] for number in among])
    look_N = np.array([looks[number] for number in among])
    entries = [
        (caption, place[number], 1 / len(rows[number].captions))
        for caption, members in enumerate(texts.values())
        for number in members
        if number in place
    ]
    caption_E, row_E, chance_E = (np.array(values) for values in zip(*entries, strict=True)) if entries else _NONE
    said = (caption_E, look_N[row_E]), (caption_E, pair_N[row_E]), (caption_E, look_N[row_E], pair_N[row_E])
    by_look, by_pair, by_both = (_meetings(keys, chance_E) for keys in said)
    one_N = np.ones(count)
    same_pair = _meetings((pair_N,), one_N)
    left = _meetings((caption_E,), chance_E) - by_look - by_pair + by_both
    left += _meetings((look_N,), one_N) - _meetings((look_N, pair_N), one_N)
    share = 1 / max(count * (count - 1), 1)
    sizes = [size for size in BATCHES if size <= count] or [count]
    return tuple(
        FalseNegatives(size, (left + same_pair) * share * size * (size - 1), left * share * size * (size - 1))
        for size in sizes
    )


_NONE = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def _meetings(keys: Sequence[np.ndarray], chance: np.ndarray) -> float:
    """Over ordered pairs of different entries with equal keys: the sum of the second one's chance."""
    if len(chance) == 0:
        return 0.0
    groups = np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)[1].ravel()
    return float(((np.bincount(groups) - 1) * np.bincount(groups, chance)).sum())
