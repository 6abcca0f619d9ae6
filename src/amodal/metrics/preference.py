"""Choices between two, one of them right.

N choices
"""

import numpy as np


def preferred(true_N: np.ndarray, false_N: np.ndarray) -> np.ndarray:
    """Whether the true one has the higher score: 1 or 0, and a half for a tie. -> (N,); chance is one half"""
    return (true_N > false_N) + 0.5 * (true_N == false_N)
