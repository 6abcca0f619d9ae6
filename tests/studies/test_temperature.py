"""The best fixed temperature is chosen on validation concepts and compared on test concepts."""

from pathlib import Path

import numpy as np
import pytest

from amodal.features import FeatureCache
from amodal.studies.study import Place
from amodal.studies.temperature import LEARNED, ON_VALIDATION, TEMPERATURE, Temperature, TemperatureConfig


def study(tmp_path: Path) -> Temperature:
    return Temperature(TemperatureConfig(), Place(FeatureCache(tmp_path / "cache.sqlite"), tmp_path))


def test_settings_are_fixed_and_learned(tmp_path: Path) -> None:
    assert study(tmp_path).settings()[:2] == ["0.01", "0.02"]
    assert study(tmp_path).settings()[-4:] == ["1", "learned", "learned from 0.01", "learned from 1"]


@pytest.mark.parametrize(("learned", "verdict"), [(0.40, "holds"), (0.36, "does not hold"), (0.391, "undecided")])
def test_conclusion(tmp_path: Path, learned: float, verdict: str) -> None:
    """0.05 is best on validation; 0.02, the best on test, must not be taken."""
    tried, random = study(tmp_path), np.random.default_rng(0)
    on_test = {"0.05": 0.40, "0.02": 0.45, LEARNED: learned}
    common = random.normal(scale=0.2, size=(1, 366))

    def values(setting: str) -> dict[str, np.ndarray]:
        recall = on_test.get(setting, 0.3) + common + random.normal(scale=0.05, size=(5, 366))
        validation = np.full((5, 169), 0.5 if setting == "0.05" else 0.4)
        return {
            **dict.fromkeys(("recall", "R@1", "R@5"), recall),
            ON_VALIDATION: validation,
            TEMPERATURE: np.full((5, 1), 0.06 if setting.startswith(LEARNED) else float(setting)),
        }

    findings = tried.conclude({setting: values(setting) for setting in tried.settings()})
    assert findings.against == "0.05"
    assert findings.checks[0].verdict == verdict
    assert "from 0.07 to 0.06" in findings.notes[0]
