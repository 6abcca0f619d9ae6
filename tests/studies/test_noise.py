"""Shuffling shuffles exactly the stated share and leaves no picture its own caption; the loss is relative."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from amodal.core.errors import UsageError
from amodal.data.pictures import BytesRef
from amodal.data.rows import Row
from amodal.features import FeatureCache
from amodal.studies.noise import (
    INFO_NCE,
    OBJECTIVES,
    TRIPLET,
    Noise,
    NoiseConfig,
    case_name,
    elsewhere,
    relative_loss,
    shuffled,
)
from amodal.studies.study import Place

ROWS = [
    Row(key=f"{style}/{n}", picture=BytesRef(b""), captions=(f"number {n}", f"n {n}"), pair=str(n))
    for n in range(50)
    for style in "ab"
]


@pytest.mark.parametrize("share", [0.0, 0.15, 0.3, 0.45, 0.6, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_exactly_the_share_is_shuffled_and_none_keeps_its_caption(share: float, seed: int) -> None:
    after = shuffled(ROWS, share, seed)
    assert [row.key for row in after] == [row.key for row in ROWS]
    changed = [(old, new) for old, new in zip(ROWS, after, strict=True) if new != old]
    assert len(changed) == round(share * len(ROWS))
    assert all(set(old.captions).isdisjoint(new.captions) for old, new in changed)
    assert Counter(row.captions for row in after) == Counter(row.captions for row in ROWS)  # a permutation
    pairs = Counter(row.pair for row in after)
    assert all(pairs[new.pair] == 1 for _, new in changed)  # nothing tells that it is wrong, nor of whom


def test_less_noise_is_a_part_of_more_and_seeds_differ() -> None:
    chosen = [
        {row.key for row in shuffled(ROWS, share, 0) if row.pair.startswith("shuffled:")} for share in (0.15, 0.3, 0.6)
    ]
    assert chosen[0] < chosen[1] < chosen[2]
    assert shuffled(ROWS, 0.3, 0) == shuffled(ROWS, 0.3, 0)
    assert shuffled(ROWS, 0.3, 0) != shuffled(ROWS, 0.3, 1)


@pytest.mark.parametrize("pairs", ["ab", "aabb", "aabbc", "aaabcd", "abcdefgh"])
def test_no_place_is_given_its_own_pair(pairs: str) -> None:
    for seed in range(20):
        given = elsewhere(pairs, torch.Generator().manual_seed(seed))
        assert sorted(given) == list(range(len(pairs)))
        assert all(pairs[place] != pairs[number] for place, number in enumerate(given))


@pytest.mark.parametrize("pairs", ["a", "aa", "aab"])
def test_what_cannot_be_shuffled_is_refused(pairs: str) -> None:
    with pytest.raises(UsageError, match="cannot be shuffled"):
        elsewhere(pairs, torch.Generator())


def test_loss_is_relative() -> None:
    before, after = np.full((5, 10), 0.5), np.full((5, 10), 0.4)
    np.testing.assert_allclose(relative_loss(before, after), [0.2, 0.2, 0.2])
    np.testing.assert_allclose(relative_loss(before, after, before, np.full((5, 10), 0.45)), [0.1, 0.1, 0.1])


@pytest.mark.parametrize(
    ("info_nce", "triplet", "verdicts"),
    [
        (0.49, 0.30, ["holds", "holds"]),
        (0.40, 0.20, ["does not hold", "holds"]),
        (0.49, 0.48, ["holds", "does not hold"]),
    ],
)
def test_conclusion(tmp_path: Path, info_nce: float, triplet: float, verdicts: list[str]) -> None:
    tried = Noise(NoiseConfig(), Place(FeatureCache(tmp_path / "cache.sqlite"), tmp_path))
    random = np.random.default_rng(0)
    common = random.normal(scale=0.1, size=(5, 366))
    at_30 = {INFO_NCE: info_nce, TRIPLET: triplet}

    def values(objective: str, share: float) -> np.ndarray:
        mean = at_30.get(objective, 0.45) if share == 0.3 else 0.5
        return mean + common + random.normal(scale=0.01, size=common.shape)

    measured = {
        case_name(each, share): {name: values(each, share) for name in ("recall", "R@1", "R@5")}
        for each in OBJECTIVES
        for share in tried.config.shares
    }
    assert [check.verdict for check in tried.conclude(measured).checks] == verdicts
