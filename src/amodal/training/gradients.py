"""The ways to get the gradient of a batch: in one pass, accumulated over parts, or exact in two passes over parts whose
activations would not fit together (gradient caching, Gao et al. 2021)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, StepResult
from amodal.core.errors import RecipeError
from amodal.core.memory import give_back
from amodal.core.ranks import Ranks
from amodal.training.parallel import alone


class Task(Protocol):
    """What a batch is for; see `amodal.tasks`. `step` is `score` of `encode`.

    ranks: the processes that train together. Each gets the loss of all and its own share of the gradient, and since
    what exchanges gradients takes their mean, each sends its share times their number.
    """

    ranks: Ranks

    def encode(self, model: Any, batch: Batch) -> Any:
        """A named tuple of tensors, row by row: a part of the batch gives the same rows as the whole of it."""
        ...

    def score(self, features: Any, batch: Batch) -> StepResult:
        """The loss of what `encode` gave."""
        ...

    def step(self, model: Any, batch: Batch) -> StepResult:
        """The loss of one batch."""
        ...

    def after_step(self, model: Any) -> None:
        """What follows the optimiser's step."""
        ...


class Gradients(Protocol):
    """Puts the gradient of a batch where the optimiser finds it."""

    def __call__(self, task: Task, model: nn.Module, batch: Batch) -> StepResult:
        """-> what the task says of the batch"""
        ...


def plain(task: Task, model: nn.Module, batch: Batch) -> StepResult:
    """In one pass."""
    result = task.step(model, batch)
    (result.loss * task.ranks.count).backward()
    return result


@dataclass(frozen=True)
class Accumulated:
    """The mean over parts of `rows` pairs each, every one with a loss of its own: memory of one part.

    Not the gradient of the whole batch: a pair meets only the negatives of its part.
    """

    rows: int

    def __call__(self, task: Task, model: nn.Module, batch: Batch) -> StepResult:
        results, parts = [], list(batch.parts(self.rows))
        for number, part in enumerate(parts, 1):
            with alone(model, last=number == len(parts)):
                result = task.step(model, part)
                (result.loss * (task.ranks.count * len(part) / len(batch))).backward()
            results.append(result)
        return _joined(results, len(batch))


@dataclass(frozen=True)
class Cached:
    """The gradient of the whole batch with the activations of one part of `rows` pairs at a time, for a second forward.

    First every part is encoded without them; the loss of all gives the gradient by each feature; then each part is
    encoded once more, with the random numbers it had before, and its features' gradient is sent back. Exact as long as
    a row's features do not depend on the other rows of its part: see `refuse_batch_statistics`.
    """

    rows: int

    def __call__(self, task: Task, model: nn.Module, batch: Batch) -> StepResult:
        parts = list(batch.parts(self.rows))
        devices = [batch.pair_id.device] if batch.pair_id.is_cuda else []
        states, leaves, form = self._encoded(task, model, parts, devices)
        result = task.score(form(*leaves), batch)
        (result.loss * task.ranks.count).backward()
        wanted = [[None] * len(parts) if x.grad is None else x.grad.split(self.rows) for x in leaves]
        for number, (part, state, *grads) in enumerate(zip(parts, states, *wanted, strict=True), 1):
            with torch.random.fork_rng(devices), alone(model, last=number == len(parts)):
                _set_random_state(state, devices)
                features = task.encode(model, part)
                sent = [(x, grad) for x, grad in zip(features, grads, strict=True) if grad is not None]
                torch.autograd.backward([x for x, _ in sent], [grad for _, grad in sent])
            del features, sent
            if not devices:
                give_back()
        return result

    @torch.no_grad()
    def _encoded(
        self, task: Task, model: nn.Module, parts: list[Batch], devices: list[torch.device]
    ) -> tuple[list[list[Tensor]], list[Tensor], Callable[..., Any]]:
        """The random state before each part, the features of all, and the named tuple that they make.

        What stays is given its place before the first part: laid down between the activations of one part and the
        next, it would keep the allocator from giving those back (measured: half as much again at 64 parts).
        """
        own = [_random_state(devices) for _ in parts]
        leaves, form = [], tuple
        for number, part in enumerate(parts):
            for kept, now in zip(own[number], _random_state(devices), strict=True):
                kept.copy_(now)
            features = task.encode(model, part)
            if number == 0:
                form, rows = type(features), sum(map(len, parts))
                leaves = [x.new_empty(rows, *x.shape[1:]) for x in features]
            for whole, x in zip(leaves, features, strict=True):
                whole[number * self.rows :][: len(part)] = x
            del features, x
            if not devices:
                give_back()
        return own, [x.requires_grad_() for x in leaves], form


def refuse_batch_statistics(model: nn.Module) -> None:
    """Raises RecipeError, naming the layer, when a row's features depend on the rest of its part: batch norm."""
    for name, part in model.named_modules():
        learned = any(parameter.requires_grad for parameter in part.parameters(recurse=False))
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training and learned:
            raise RecipeError(
                f"{name} normalises by the statistics of its batch, so a batch in parts is not the batch as a whole; "
                "freeze them (model.image.statistics: frozen), take a tower without batch norm, or let every part have "
                "a loss of its own (training.gradients: accumulated)"
            )


def _random_state(devices: list[torch.device]) -> list[Tensor]:
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in devices)]


def _set_random_state(state: list[Tensor], devices: Iterable[torch.device]) -> None:
    torch.set_rng_state(state[0])
    for device, value in zip(devices, state[1:], strict=True):
        torch.cuda.set_rng_state(value, device)


def _joined(results: list[StepResult], rows: int) -> StepResult:
    """One result of all parts: terms are means over rows, features lie one below the other."""

    def mean(name: str) -> float:
        return sum(result.terms[name] * result.count for result in results) / rows

    features = {name: torch.cat([result.features[name] for result in results]) for name in results[0].features}
    terms = {name: mean(name) for name in results[0].terms}
    return StepResult(loss=results[-1].loss.detach(), terms=terms, count=rows, features=features)
