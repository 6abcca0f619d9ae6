"""False negatives of a batch: a value by hand, and every batch and every draw of captions counted out."""

from itertools import permutations, product
from pathlib import Path

import pytest

from amodal.audit.batches import false_negatives
from amodal.audit.captions import caption_groups
from amodal.data.pictures import FileRef
from amodal.data.rows import Row


def a_row(number: int, captions: tuple[str, ...], pair: str) -> Row:
    return Row(key=str(number), picture=FileRef(Path(f"{number}.jpg")), captions=captions, pair=pair)


ROWS = [
    a_row(0, ("a", "b"), "p"),
    a_row(1, ("b",), "q"),  # shares b with 0
    a_row(2, ("c", "d", "a"), "r"),  # shares a with 0
    a_row(3, ("e",), "p"),  # the pair of 0
    a_row(4, ("f", "b"), "s"),  # shares b with 0 and 1, and the picture of 1
]
LOOKS = [0, 1, 2, 3, 1]


def counted(rows: list[Row], looks: list[int], among: list[int], batch: int) -> tuple[float, float]:
    """(blind, left) by counting out every batch and every draw of one caption a row."""
    blind = left = cases = 0
    for chosen in permutations(among, batch):
        for texts in product(*(rows[number].captions for number in chosen)):
            cases += 1
            for i, j in permutations(range(batch), 2):
                one, two = chosen[i], chosen[j]
                friends = rows[one].pair == rows[two].pair
                true = friends or looks[one] == looks[two] or texts[j] in rows[one].captions
                blind += true
                left += true and not friends
    return blind / cases, left / cases


@pytest.mark.parametrize("among", [[0, 1, 2, 3, 4], [0, 1, 4], [2, 3]])
def test_equals_counting_out(among: list[int]) -> None:
    (found,) = false_negatives(ROWS, among, LOOKS, caption_groups(ROWS))
    assert found.batch == len(among)
    blind, left = counted(ROWS, LOOKS, among, len(among))
    assert found.blind == pytest.approx(blind)
    assert found.left == pytest.approx(left)


def test_by_hand() -> None:
    """64 rows, 4 of them one picture with four captions: 12 ordered pairs meet with the chance 32 · 31 / (64 · 63)."""
    rows = [a_row(n, (f"caption {n}",), f"pair {n}") for n in range(64)]
    looks = [0 if n < 4 else n for n in range(64)]
    (found,) = false_negatives(rows, range(64), looks, caption_groups(rows))
    assert found.batch == 32
    assert found.left == found.blind == pytest.approx(12 * 32 * 31 / (64 * 63))


def test_known_pairs_are_no_false_negatives() -> None:
    rows = [a_row(n, (f"caption {n // 2}",), f"pair {n // 2}") for n in range(40)]
    (found,) = false_negatives(rows, range(40), range(40), caption_groups(rows))
    assert found.left == 0
    assert found.blind == pytest.approx(40 * 32 * 31 / (40 * 39))


def test_one_row() -> None:
    (found,) = false_negatives(ROWS, [0], LOOKS, caption_groups(ROWS))
    assert tuple(found) == (1, 0, 0)
