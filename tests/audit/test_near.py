"""The index on bands of the hash against all pairs, and what the second look keeps out."""

from itertools import combinations

import numpy as np

from amodal.audit.near import Groups, Looks, near_pairs
from amodal.data.looks import RADIUS, distance


def made_looks(hashes: np.ndarray, grey: np.ndarray, deviation: float = 30.0) -> Looks:
    count = len(hashes)
    return Looks(hashes, grey, np.full((count, 32), 128, np.uint8), np.full(count, deviation, np.float32))


def planted(draw: np.random.Generator, count: int) -> Looks:
    """Random looks; the second half are copies of the first whose hashes differ in 1 to 14 bits."""
    hashes = draw.integers(0, 1 << 63, count, dtype=np.uint64)
    flips = [sum(1 << int(bit) for bit in draw.choice(64, 1 + n % 14, replace=False)) for n in range(count)]
    grey = draw.integers(0, 256, (count, 256), dtype=np.uint8)
    copies = hashes ^ np.array(flips, np.uint64)
    return made_looks(np.concatenate([hashes, copies]), np.concatenate([grey, grey]))


def test_distance_counts_bits() -> None:
    one, two = np.array([0, 0b1011, 2**64 - 1], np.uint64), np.array([0, 0b0001, 0], np.uint64)
    assert distance(one, two).tolist() == [0, 2, 64]


def test_all_pairs_within_seven_bits_are_found_and_none_beyond_the_radius() -> None:
    count = 700
    found = {pair[:2] for pair in near_pairs(planted(np.random.default_rng(0), count), np.arange(2 * count))}
    apart = {n: 1 + n % 14 for n in range(count)}
    assert {(n, n + count) for n in range(count) if apart[n] <= 7} <= found
    assert found <= {(n, n + count) for n in range(count) if apart[n] <= RADIUS}
    beyond = [n for n in range(count) if 7 < apart[n] <= RADIUS]
    assert sum((n, n + count) in found for n in beyond) > 0.6 * len(beyond)


def test_the_second_look_keeps_out_what_only_the_hash_takes_for_the_same() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 256), dtype=np.uint8)
    hashes = np.repeat(np.array([5, 7], np.uint64), 20)  # two crowds that differ in one bit
    assert list(near_pairs(made_looks(hashes, grey), np.arange(40))) == []


def test_many_copies_need_no_pairs_of_all() -> None:
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 256), dtype=np.uint8), 3000, axis=0)
    found = list(near_pairs(made_looks(np.full(3000, 9, np.uint64), grey), np.arange(3000)))
    assert len(found) == 2999  # each with the first one
    assert {one for one, _, _ in found} == {0}


def test_flat_pictures_are_not_compared() -> None:
    flat = made_looks(np.zeros(10, np.uint64), np.full((10, 256), 200, np.uint8), deviation=0.5)
    assert list(near_pairs(flat, np.arange(10))) == []


def test_only_those_asked_for_are_compared() -> None:
    looks = planted(np.random.default_rng(1), 50)
    assert list(near_pairs(looks, np.arange(50))) == []
    assert {pair[:2] for pair in near_pairs(looks, np.array([0, 1, 50]))} == {(0, 50)}


def test_groups() -> None:
    groups = Groups(6)
    for one, two in combinations((5, 1, 3), 2):
        groups.join(one, two)
    groups.join(0, 4)
    assert groups.members() == [[1, 3, 5], [0, 4]]
    assert groups.find(5) == 1
