"""Gaussians whose mutual information is known: the formula against numbers, the critic against the densities."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from amodal.features import FeatureCache
from amodal.objectives import info_nce
from amodal.studies.mutual_information import (
    BOUND,
    FAR,
    GaussianPairs,
    MutualInformation,
    MutualInformationConfig,
    correlation_of,
    log_density_ratio,
    pairing_loss,
)
from amodal.studies.study import Place


@pytest.mark.parametrize(("truth", "dimensions"), [(0.5, 1), (2.0, 1), (3.0, 4)])
def test_truth_is_that_of_numeric_integration(truth: float, dimensions: int) -> None:
    """I = integral of p(x, y) ln(p(x, y) / p(x) p(y)), one coordinate on a grid, times the number of coordinates."""
    r = correlation_of(truth, dimensions)
    x = np.linspace(-8, 8, 1601)
    cell = (x[1] - x[0]) ** 2
    x_XY, y_XY = np.meshgrid(x, x, indexing="ij")
    joint = np.exp(-(x_XY**2 - 2 * r * x_XY * y_XY + y_XY**2) / (2 * (1 - r**2))) / (2 * np.pi * np.sqrt(1 - r**2))
    apart = np.exp(-(x_XY**2 + y_XY**2) / 2) / (2 * np.pi)
    assert joint.sum() * cell == pytest.approx(1.0, abs=1e-6)
    inside = joint > 1e-300
    information = (joint[inside] * np.log(joint[inside] / apart[inside])).sum() * cell
    assert dimensions * information == pytest.approx(truth, rel=1e-4)


def test_optimal_critic_is_the_ratio_of_the_densities() -> None:
    pairs = GaussianPairs(5, 2.0, 3, seed=0, steps=1)
    x_ND, y_ND = pairs.draw("held out", 0)
    r = pairs.correlation
    joint = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, r], [r, 1.0]]))
    plain = torch.distributions.Normal(0.0, 1.0)
    expected = torch.empty(5, 5)
    for i in range(5):
        for j in range(5):
            both = joint.log_prob(torch.stack([x_ND[i], y_ND[j]], dim=1)).sum()
            expected[i, j] = both - plain.log_prob(x_ND[i]).sum() - plain.log_prob(y_ND[j]).sum()
    torch.testing.assert_close(log_density_ratio(x_ND[None], y_ND[None], r)[0], expected, atol=1e-4, rtol=1e-4)


def test_pairs_are_correlated_as_said_and_come_again() -> None:
    pairs = GaussianPairs(20000, 4.0, 2, seed=3, steps=2)
    x_ND, y_ND = pairs.draw("train", 1)
    found = [np.corrcoef(x_ND[:, d], y_ND[:, d])[0, 1] for d in range(2)]
    assert found == pytest.approx([pairs.correlation] * 2, abs=0.005)
    assert abs(np.corrcoef(x_ND[:, 0], y_ND[:, 1])[0, 1]) < 0.03
    (batch,) = pairs.steps(1, 2)
    assert batch.image is not None
    assert torch.equal(batch.image.pooled, x_ND)
    assert not torch.equal(pairs.draw("train", 0)[0], x_ND)


def test_loss_of_scores_is_that_of_the_package() -> None:
    x, y = (torch.nn.functional.normalize(torch.randn(2, 7, 4), dim=-1) for _ in range(2))
    scale = torch.tensor(1.5)
    expected = [info_nce(x[b], y[b], scale) for b in range(2)]
    torch.testing.assert_close(pairing_loss(scale.exp() * x @ y.mT), torch.stack(expected))


def study(tmp_path: Path, **values: object) -> MutualInformation:
    config = MutualInformationConfig.model_validate({**MutualInformation.tiny, **values})
    return MutualInformation(config, Place(FeatureCache(tmp_path / "cache.sqlite"), tmp_path / "unfinished"))


def test_a_trained_critic_comes_from_nothing_near_to_the_optimal_one(tmp_path: Path) -> None:
    """Chance is a bound of 0 nats."""
    tried = study(tmp_path, trained=[2.0], truths=[2.0], pairs=[64], steps=200, trained_pairs=64)
    optimal, trained = (tried.measure(setting, 0)[BOUND][0] for setting in tried.settings())
    assert 1.4 < trained < optimal + 0.05
    assert optimal < min(2.0, math.log(64))


def test_conclusion_sees_a_bound_that_breaks_its_limits(tmp_path: Path) -> None:
    tried = study(tmp_path, seeds=5)
    cases = tried.cases()
    good = {
        name: {BOUND: np.full((5, 1), min(0.9 * case.truth, 0.99 * math.log(case.pairs)))}
        for name, case in cases.items()
    }
    assert {check.verdict for check in tried.conclude(good).checks} == {"holds"}
    broken = {**good, "trained, 2 nats, N = 16": {BOUND: np.full((5, 1), 2.2)}}
    first, second, third = tried.conclude(broken).checks
    assert "trained, 2 nats, N = 16" in first.says
    assert (first.verdict, second.verdict, third.verdict) == ("does not hold", "holds", "holds")
    far = next(name for name, case in cases.items() if case.truth >= math.log(case.pairs) + FAR)
    early = {**good, far: {BOUND: np.full((5, 1), 0.9 * math.log(cases[far].pairs))}}
    assert tried.conclude(early).checks[2].verdict == "does not hold"
