"""Softmax regression: against a plain descent, on what it cannot miss, and with numbers that are unknown."""

import numpy as np
import torch

from amodal.search.chances import RIDGE, Chances, fit_chances


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """2,000 cases of three outcomes, whose log-odds are linear in two numbers."""
    random = np.random.default_rng(seed)
    value = random.normal(size=(2000, 2)) * (2.0, 0.1) + (5.0, 1.0)
    logits = np.stack([value[:, 0] - 5, 20 * (value[:, 1] - 1), np.zeros(2000)], axis=1)
    return value, (logits + random.gumbel(size=logits.shape)).argmax(axis=1)


def test_newton_finds_what_plain_descent_finds() -> None:
    value, outcome = drawn()
    found = fit_chances(value, outcome, 3)
    x = torch.tensor(np.c_[np.ones(len(value)), (value - found.centre) / found.scale])
    weights = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    ridge = torch.tensor([1e-6, RIDGE, RIDGE], dtype=torch.float64)[:, None]
    descent = torch.optim.LBFGS([weights], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        descent.zero_grad()
        told = torch.nn.functional.cross_entropy(x @ weights, torch.tensor(outcome)) + (ridge * weights**2).sum() / 2
        told.backward()
        return told

    descent.step(loss)
    expected = torch.softmax(x @ weights, dim=1)[:, 0].detach().numpy()
    np.testing.assert_allclose(found(value), expected, atol=1e-4)


def test_chances_are_those_that_made_the_outcomes() -> None:
    found = fit_chances(*drawn(), 3)
    value, _ = drawn(seed=1)
    logits = np.stack([value[:, 0] - 5, 20 * (value[:, 1] - 1), np.zeros(len(value))], axis=1)
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.abs(found(value) - true[:, 0]).mean() < 0.03


def test_an_unknown_number_counts_as_an_ordinary_one() -> None:
    value, outcome = drawn()
    found = fit_chances(value, outcome, 3)
    ordinary = np.array([[value[0, 0], found.centre[1]]])
    np.testing.assert_allclose(found(np.array([[value[0, 0], np.nan]])), found(ordinary))


def test_an_outcome_that_never_came_is_unlikely() -> None:
    value, outcome = drawn()
    assert fit_chances(value, np.where(outcome == 0, 1, outcome), 3)(value).max() < 0.01


def test_json_gives_the_same_again() -> None:
    value, outcome = drawn()
    found = fit_chances(value, outcome, 3)
    assert Chances.from_json(found.to_json()) == found
