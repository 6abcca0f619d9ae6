"""The rule on values made by hand, and what a concept's value is."""

from pathlib import Path

import numpy as np
import pytest

from amodal.features import FeatureCache
from amodal.studies.mined_negatives import ALONE, LARGE, MINED, MinedNegatives, MinedNegativesConfig, of_concepts
from amodal.studies.study import Place, verdict_of


@pytest.mark.parametrize(
    ("gain", "over_large", "verdict"),
    [(0.06, 0.02, "holds"), (0.01, 0.02, "does not hold"), (0.03, 0.02, "undecided"), (0.06, -0.02, "does not hold")],
)
def test_the_rule(gain: float, over_large: float, verdict: str, tmp_path: Path) -> None:
    study = MinedNegatives(MinedNegativesConfig(), Place(FeatureCache(tmp_path / "cache"), tmp_path))
    noise = np.random.default_rng(0).normal(0, 0.02, (5, 200))
    noise -= noise.mean()
    level = {MINED: 0.3, ALONE: 0.3 - gain, LARGE: 0.3 - over_large}
    measured = {
        setting: {
            figure: np.full((5, 200), level.get(setting, 0.2)) + noise * (setting == MINED)
            for figure in ("R@1", "R@5", "recall")
        }
        for setting in study.settings()
    }
    found = study.conclude(measured)
    assert verdict_of(found.checks, 5) == verdict
    assert found.checks[0].found.value == pytest.approx(gain, abs=1e-6)
    assert verdict_of(found.checks, 4) == "undecided"


def test_a_concept_counts_by_its_pairs() -> None:
    values = of_concepts([1.0, 0.0, 1.0, 1.0], ["a", "a", "a", "b"])
    assert values == [2.0 * 2 / 4, 1.0 * 2 / 4]
    assert np.mean(values) == pytest.approx(0.75)
