"""Choices between two by hand."""

import numpy as np

from amodal.metrics import preferred


def test_a_tie_is_half_a_right_choice() -> None:
    true, false = np.array([2.0, 1.0, -1.0]), np.array([1.0, 1.0, 3.0])
    np.testing.assert_array_equal(preferred(true, false), [1.0, 0.5, 0.0])
    np.testing.assert_array_equal(preferred(true, false) + preferred(false, true), 1.0)
