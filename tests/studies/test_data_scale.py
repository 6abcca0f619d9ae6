"""The fitted curve finds what was planted, and foretells it; parts lie inside each other."""

from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from amodal.data.pictures import BytesRef
from amodal.data.rows import Row
from amodal.features import FeatureCache
from amodal.studies.bench import RECALL
from amodal.studies.data_scale import DataScale, DataScaleConfig, PowerLaw, fit_power_law, left_out, part_of
from amodal.studies.study import Place

PAIRS = np.array([72, 142, 284, 570, 1138, 2278.0])


@pytest.mark.parametrize("law", [PowerLaw(0.8, 3.0, 0.4), PowerLaw(0.5, 40.0, 1.2), PowerLaw(0.95, 1.2, 0.1)])
def test_planted_law_is_found(law: PowerLaw) -> None:
    found = fit_power_law(PAIRS, law(PAIRS))
    assert found.exponent == pytest.approx(law.exponent, rel=0.01)
    assert found.ceiling == pytest.approx(law.ceiling, abs=0.02)
    np.testing.assert_allclose(found(PAIRS), law(PAIRS), atol=1e-4)
    assert [left_out(PAIRS, law(PAIRS), k) for k in range(6)] == pytest.approx([0] * 6, abs=2e-3)


def test_fit_is_the_least_squares_one() -> None:
    """No law near the one found, within its limits, has a smaller error."""
    y_K = PowerLaw(0.6, 5.0, 0.5)(PAIRS) + default_rng(0).normal(scale=0.01, size=6)
    found = fit_power_law(PAIRS, y_K)
    least = ((found(PAIRS) - y_K) ** 2).sum()
    for ceiling in found.ceiling + np.linspace(-0.05, 0.05, 21):
        for scale in found.scale * np.linspace(0.8, 1.2, 21):
            for exponent in found.exponent * np.linspace(0.8, 1.2, 21):
                assert ((PowerLaw(ceiling, scale, exponent)(PAIRS) - y_K) ** 2).sum() > least - 1e-6


def test_limits_of_the_fit() -> None:
    assert fit_power_law(PAIRS, 0.05 * np.log(PAIRS)).ceiling <= 1
    falling = fit_power_law(PAIRS, 1 / np.log(PAIRS))
    assert falling.scale == 0
    assert falling.ceiling == pytest.approx((1 / np.log(PAIRS)).mean())


def study(tmp_path: Path) -> DataScale:
    return DataScale(DataScaleConfig(), Place(FeatureCache(tmp_path / "cache.sqlite"), tmp_path))


@pytest.mark.parametrize(("jump", "verdict"), [(0.0, "holds"), (0.1, "does not hold")])
def test_conclusion_sees_a_size_that_leaves_the_law(tmp_path: Path, jump: float, verdict: str) -> None:
    tried, random = study(tmp_path), default_rng(1)
    means = PowerLaw(0.8, 3.0, 0.4)(PAIRS)
    means[-1] += jump
    measured = {
        setting: {name: mean + random.normal(scale=0.02, size=(5, 366)) for name in (RECALL, "R@1", "R@5")}
        for setting, mean in zip(tried.settings(), means, strict=True)
    }
    findings = tried.conclude(measured)
    assert findings.checks[0].verdict == verdict
    assert findings.checks[0].found.value == pytest.approx(-jump, abs=0.01)
    if not jump:
        assert "exponent 0.4" in findings.notes[0] or "exponent 0.3" in findings.notes[0]


def test_parts_are_inside_each_other_and_differ_by_seed() -> None:
    rows = [
        Row(key=f"{style}/{n}", picture=BytesRef(b""), captions=("x",), pair=str(n)) for style in "ab" for n in range(9)
    ]
    small, large = part_of(rows, 3, 0), part_of(rows, 5, 0)
    assert {row.key for row in small} < {row.key for row in large}
    assert (len(small), len(large)) == (6, 10)
    assert all({f"a/{row.pair}", f"b/{row.pair}"} <= {each.key for each in small} for row in small)
    assert {row.pair for row in small} != {row.pair for row in part_of(rows, 3, 1)}
