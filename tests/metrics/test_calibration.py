"""Calibration error and refusal: values worked by hand, plain references, and what must not change them."""

import numpy as np
import pytest

from amodal.metrics import calibration_error, refusal, refusal_gain


def plain_error(probability: np.ndarray, right: np.ndarray, bins: int) -> float:
    """The sum over bins, bin by bin, of lists."""
    pairs = sorted(zip(probability, right, strict=True), key=lambda pair: pair[0])
    size, total = len(pairs) // bins, 0.0
    for start in range(0, len(pairs), size):
        part = pairs[start : start + size]
        mean, share = sum(p for p, _ in part) / len(part), sum(r for _, r in part) / len(part)
        total += len(part) / len(pairs) * abs(mean - share)
    return total


def test_calibration_error_by_hand() -> None:
    found = calibration_error(np.array([0.1, 0.3, 0.8, 0.6]), np.array([0, 1, 1, 1]), bins=2)
    assert found.value == pytest.approx((abs(0.2 - 0.5) + abs(0.7 - 1.0)) / 2)
    assert found.low <= found.high
    assert found.n == 4


def test_calibration_error_equals_the_plain_one() -> None:
    random = np.random.default_rng(0)
    probability = random.random(600)
    right = random.random(600) < probability**2
    assert calibration_error(probability, right).value == pytest.approx(plain_error(probability, right, 15))


def test_honest_probabilities_have_a_small_error_and_shifted_ones_have_not() -> None:
    random = np.random.default_rng(1)
    probability = random.random(20_000)
    right = random.random(20_000) < probability
    assert calibration_error(probability, right).value < 0.015
    assert calibration_error(np.clip(probability + 0.2, 0, 1), right).value > 0.1


def test_refusal_by_hand() -> None:
    there, absent = np.arange(100.0), np.array([-1.0, 3.0, 4.5, 5.5, 50.0])
    found = refusal(there, absent)  # five of a hundred, 0 to 4, may be lost: the cut is at 5
    assert found.value == pytest.approx(3 / 5)
    assert found.chance == 0.05


def test_refusal_depends_on_the_order_of_scores_alone() -> None:
    random = np.random.default_rng(2)
    there, absent = random.normal(1, 1, 300), random.normal(0, 1, 300)
    assert refusal(there, absent).value == refusal(np.exp(there), np.exp(absent)).value
    same = refusal_gain((there, absent), (3 * there, 3 * absent))
    assert same.value == same.low == same.high == 0.0


def test_a_score_that_knows_nothing_refuses_what_it_loses() -> None:
    random = np.random.default_rng(3)
    found = refusal(random.random(4000), random.random(4000))
    assert found.low < 0.05 < found.high


def test_gain_is_paired() -> None:
    random = np.random.default_rng(4)
    there, absent = random.normal(2, 1, 400), random.normal(0, 1, 400)
    gain = refusal_gain((there + 1, absent), (there, absent))
    assert gain.low > 0
    assert gain.value == pytest.approx(refusal(there + 1, absent).value - refusal(there, absent).value)


def test_wrong_input_is_told() -> None:
    with pytest.raises(ValueError, match="give one each"):
        calibration_error(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="no items"):
        calibration_error(np.ones(0), np.ones(0))
    with pytest.raises(ValueError, match="both kinds"):
        refusal(np.ones(3), np.ones(0))
