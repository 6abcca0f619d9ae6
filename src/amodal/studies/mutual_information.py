"""ln(N) - loss bounds the mutual information from below (van den Oord et al. 2018; Poole et al. 2019): tried where the
truth is known, on correlated Gaussians.

N pairs of a batch · D dimensions · B batches
"""

import math
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from amodal.core.batch import Batch
from amodal.core.seeds import generator_for
from amodal.features import pooled_tokens
from amodal.models import DualEncoder, ProjectionHead
from amodal.objectives import mutual_information_bound
from amodal.runs.curves import Chart, Line
from amodal.studies.study import Check, Findings, Measured, Study, StudyConfig, Unit, mean_interval, rows_of
from amodal.tasks import Contrastive
from amodal.training import Hooks, Settings, train

BOUND = "bound"
TOLERANCE = 0.05
FAR, REACHED = 5.0, 0.95
CELLS = 1 << 24  # of scores at once


class MutualInformationConfig(StudyConfig):
    """truths: mutual information of the Gaussians in nats, an optimal critic judges each; trained: those for which a
    critic is trained as well; pairs: batch sizes, trained up to trained_pairs; held_out: pairs that judge."""

    truths: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0, 10.0)
    trained: tuple[float, ...] = (2.0, 6.0, 10.0)
    pairs: tuple[int, ...] = (4, 16, 64, 256, 1024, 4096)
    trained_pairs: int = 1024
    dimensions: int = Field(default=8, ge=1)
    steps: int = Field(default=400, ge=1)
    held_out: int = Field(default=16384, ge=1)


class Case(NamedTuple):
    """One setting."""

    critic: str
    truth: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.critic}, {self.truth:g} nats, N = {self.pairs:,}"


class MutualInformation(Study[MutualInformationConfig]):
    """The bound against N, for a critic that knows the densities and for one that is trained."""

    name: ClassVar = "mutual-information"
    claim: ClassVar = (
        "ln(N) - loss stays below the mutual information of the two sides and below ln(N), and where the truth is "
        "larger it saturates at ln(N)."
    )
    rule: ClassVar = (
        f"In no setting does the mean bound exceed the truth by {TOLERANCE} nats, nor ln(N) at all; with the optimal "
        f"critic and a truth of at least ln(N) + {FAR:g} nats it reaches {REACHED:.0%} of ln(N) everywhere. The worst "
        "setting of each kind decides, by its interval over seeds."
    )
    method: ClassVar = (
        "Two Gaussian vectors of 8 dimensions, each pair of coordinates correlated by r, share -4 ln(1 - r²) nats. The "
        "optimal critic is the logarithm of the density ratio; the trained one is two small networks onto unit vectors "
        "with InfoNCE and a learnt scale, in batches of N fresh pairs. Both are judged on 16,384 fresh pairs, N at a "
        "time. Each seed draws pairs and weights anew."
    )
    cost: ClassVar = "5 minutes on one CPU core"
    config_class: ClassVar = MutualInformationConfig
    tiny: ClassVar = {
        "seeds": 2,
        "truths": [2.0, 8.0],
        "trained": [2.0],
        "pairs": [4, 16],
        "steps": 20,
        "held_out": 1024,
    }

    def cases(self) -> dict[str, Case]:
        """Setting -> what it is."""
        config = self.config
        cases = [Case("optimal", truth, pairs) for truth in config.truths for pairs in config.pairs]
        few = [pairs for pairs in config.pairs if pairs <= config.trained_pairs]
        cases += [Case("trained", truth, pairs) for truth in config.trained for pairs in few]
        return {str(case): case for case in cases}

    def settings(self) -> list[str]:
        """Critic, truth and batch size of each."""
        return list(self.cases())

    def measure(self, setting: str, seed: int) -> dict[str, list[float]]:
        """The bound on fresh pairs."""
        case, config = self.cases()[setting], self.config
        pairs = GaussianPairs(case.pairs, case.truth, config.dimensions, seed, steps=config.steps)
        batches = max(1, config.held_out // case.pairs)
        if case.critic == "trained":
            task, model = self._trained(pairs, f"{case.truth:g}-{case.pairs}-{seed}")
            with torch.inference_mode():
                losses = [task.step(model.eval(), pairs.held_out(number)).terms["loss"] for number in range(batches)]
            loss = float(np.mean(losses))
        else:
            loss = self._optimal(pairs, batches)
        return {BOUND: [mutual_information_bound(loss, case.pairs)]}

    def _optimal(self, pairs: "GaussianPairs", batches: int) -> float:
        at_once = max(1, CELLS // pairs.size**2)
        total = 0.0
        for first in range(0, batches, at_once):
            drawn = [pairs.draw("held out", number) for number in range(first, min(first + at_once, batches))]
            x_BND, y_BND = (torch.stack(side) for side in zip(*drawn, strict=True))
            total += pairing_loss(log_density_ratio(x_BND, y_BND, pairs.correlation)).sum().item()
        return total / batches

    def _trained(self, pairs: "GaussianPairs", name: str) -> tuple[Contrastive, DualEncoder]:
        torch.manual_seed(generator_for(pairs.seed, "critic").initial_seed())
        heads = [ProjectionHead(pairs.dimensions, 64, hidden=128) for _ in range(2)]
        task, model = Contrastive(), DualEncoder(nn.Identity(), nn.Identity(), *heads)
        settings = Settings(
            epochs=1,
            learning_rate=0.005,
            weight_decay=0.0,
            betas=(0.9, 0.98),
            warmup=0.05,
            clip=1.0,
            evaluate_every=1,
            patience=0,
            save_every=60.0,
            seed=pairs.seed,
            workers=0,
            gradients="plain",
        )
        hooks = Hooks(evaluate=lambda: {"validation/score": 0.0}, record=lambda row: None, keep_best=lambda: None)
        checkpoint = self.place.scratch / name
        train(task, model, pairs, settings, hooks, checkpoint=checkpoint, device=torch.device("cpu"))
        checkpoint.unlink(missing_ok=True)
        return task, model

    def conclude(self, measured: Measured) -> Findings:
        """The worst setting of each kind."""
        cases = self.cases()
        bounds = {case: measured[name][BOUND] for name, case in cases.items()}
        over = {case: bound - case.truth for case, bound in bounds.items()}
        ceiling = {case: bound - math.log(case.pairs) for case, bound in bounds.items()}
        far = {
            case: bound / math.log(case.pairs)
            for case, bound in bounds.items()
            if case.critic == "optimal" and case.truth >= math.log(case.pairs) + FAR
        }
        checks = [
            worst("bound less the truth, the largest", over, 1, below=TOLERANCE, unit="nats"),
            worst("bound less ln(N), the largest", ceiling, 1, below=0.0, unit="nats"),
        ]
        if far:
            checks.append(
                worst(
                    f"bound over ln(N), the least with the truth {FAR:g} nats above", far, -1, above=REACHED, unit="%"
                )
            )
        return Findings(
            checks=checks, rows=rows_of(measured, BOUND, "nats", None), against="", chart=self._chart(bounds)
        )

    def _chart(self, bounds: dict[Case, np.ndarray]) -> Chart:
        pairs = self.config.pairs
        logs = [math.log(n) for n in pairs]
        lines = [Line(label="ln(N)", x=pairs, y=logs, shade=5, dashed=True)]
        for shade, truth in enumerate(self.config.truths):
            for critic in ("optimal", "trained"):
                found = [
                    (case.pairs, *mean_interval(bound)) for case, bound in bounds.items() if case[:2] == (critic, truth)
                ]
                if found:
                    x, y, low, high = zip(*found, strict=True)
                    label = f"truth {truth:g} nats" if critic == "optimal" else ""
                    lines.append(
                        Line(label=label, x=x, y=y, low=low, high=high, shade=shade, joined=critic == "optimal")
                    )
        return Chart(
            title="ln(N) \u2212 loss in nats: line for the optimal critic, ring for a trained one",
            x_label="pairs of a batch, N",
            lines=lines,
            ticks=pairs,
        )


class GaussianPairs:
    """Batches of fresh pairs of standard normal vectors whose coordinates are correlated, so that they share `truth`
    nats; endless and numbered, for the training loop."""

    def __init__(self, size: int, truth: float, dimensions: int, seed: int, *, steps: int) -> None:
        self.size, self.dimensions, self.seed, self.steps_per_epoch = size, dimensions, seed, steps
        self.correlation = correlation_of(truth, dimensions)

    def draw(self, kind: str, number: int) -> tuple[Tensor, Tensor]:
        """Both sides of one batch, (N, D) each."""
        draw = generator_for(self.seed, "gaussian", kind, number)
        x_ND, other_ND = torch.randn(2, self.size, self.dimensions, generator=draw)
        return x_ND, self.correlation * x_ND + math.sqrt(1 - self.correlation**2) * other_ND

    def held_out(self, number: int) -> Batch:
        """A batch that no training sees."""
        return self._batch("held out", number)

    def steps(self, first: int, last: int, *, workers: int = 0) -> Iterator[Batch]:
        """The batches of these steps."""
        return (self._batch("train", step) for step in range(first, last))

    def _batch(self, kind: str, number: int) -> Batch:
        x_ND, y_ND = self.draw(kind, number)
        key = tuple(f"{kind} {number}" for _ in range(self.size))
        return Batch(pair_id=torch.arange(self.size), key=key, image=pooled_tokens(x_ND), text=pooled_tokens(y_ND))


def correlation_of(truth: float, dimensions: int) -> float:
    """The correlation a coordinate at which two Gaussian vectors share `truth` nats: I = -D/2 ln(1 - r²)."""
    return math.sqrt(-math.expm1(-2 * truth / dimensions))


def log_density_ratio(x_BND: Tensor, y_BND: Tensor, correlation: float) -> Tensor:
    """ln p(x, y) / p(x) p(y) of every x with every y: what no critic can better. -> (B, N, N), rows are x"""
    r2 = correlation**2
    square_BNN = x_BND.square().sum(-1)[:, :, None] + y_BND.square().sum(-1)[:, None, :]
    cross_BNN = x_BND @ y_BND.mT
    constant = -x_BND.shape[-1] / 2 * math.log1p(-r2)
    return constant + (correlation * cross_BNN - r2 / 2 * square_BNN) / (1 - r2)


def pairing_loss(score_BNN: Tensor) -> Tensor:
    """InfoNCE of any scores, pairs on the diagonal: the mean of both directions. -> (B,)

    `amodal.objectives.info_nce` is this for scores that are scaled cosines, and keeps no matrix.
    """
    right_BN = torch.arange(score_BNN.shape[-1], device=score_BNN.device).expand(score_BNN.shape[:2])
    both = [F.cross_entropy(scores, right_BN, reduction="none").mean(1) for scores in (score_BNN, score_BNN.mT)]
    return (both[0] + both[1]) / 2


def worst(
    says: str,
    found: dict[Case, np.ndarray],
    sign: int,
    *,
    above: float | None = None,
    below: float | None = None,
    unit: Unit = "",
) -> Check:
    """The check of the setting whose mean is the largest (sign 1) or the least (-1)."""
    case = max(found, key=lambda each: sign * found[each].mean())
    return Check(says=f"{says} ({case})", found=mean_interval(found[case]), above=above, below=below, unit=unit)
