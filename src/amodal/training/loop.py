"""The only training loop. It knows batches, a task, a model and an optimiser; everything else it is given."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, StepResult
from amodal.core.errors import AmodalError
from amodal.core.progress import progress
from amodal.core.seeds import generator_for
from amodal.training.checkpoints import Progressed, load_checkpoint, save_checkpoint
from amodal.training.optimizer import build_optimizer, warmup_cosine


class Batches(Protocol):
    """What the loop reads: numbered steps, the same for the same number."""

    steps_per_epoch: int

    def steps(self, first: int, last: int, *, workers: int = 0) -> Iterator[Batch]:
        """The batches of steps first, ..., last - 1."""
        ...


class Task(Protocol):
    """What a batch is for; see `amodal.tasks`."""

    def step(self, model: Any, batch: Batch) -> StepResult:
        """The loss of one batch."""
        ...

    def after_step(self, model: Any) -> None:
        """What follows the optimiser's step."""
        ...


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train. epochs, warmup (epochs), evaluate_every (epochs), patience (evaluations without gain; 0: never
    stops early), clip (largest gradient norm), save_every (seconds between checkpoints)."""

    epochs: int
    learning_rate: float
    weight_decay: float
    betas: tuple[float, float]
    warmup: float
    clip: float
    evaluate_every: int
    patience: int
    save_every: float
    seed: int
    workers: int


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the loop calls with results it does not read itself.

    evaluate: figures of the model now, the one to maximise under "validation/score"; record: one row of history;
    keep_best: the model just became the best.
    """

    evaluate: Callable[[], dict[str, float]]
    record: Callable[[dict[str, float]], None]
    keep_best: Callable[[], None]


class Stopped(AmodalError):
    """Training was stopped by a signal after saving its state; `signal_number` says by which."""

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(f"stopped after step {step}; the state is saved")
        self.signal_number = signal_number


def train(
    task: nn.Module,
    model: nn.Module,
    batches: Batches,
    settings: Settings,
    hooks: Hooks,
    *,
    checkpoint: Path,
    device: torch.device,
) -> Progressed:
    """Trains to the end, or goes on from `checkpoint` when it exists; the weights come out the same either way.

    Raises Stopped after SIGINT or SIGTERM, and AmodalError when loss, gradient or validation score is not finite.
    """
    modules = {"model": model, "task": task}
    optimizer = build_optimizer(
        modules.values(),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=settings.betas,
    )
    at = load_checkpoint(checkpoint, modules, optimizer) if checkpoint.exists() else Progressed()
    if at.done:
        return at
    run = _Run(task, model, batches, settings, hooks, optimizer, checkpoint, device, at)
    with _signals() as caught:
        run.train(caught)
    return run.at


class _Run:
    """One training from `at` on."""

    def __init__(
        self,
        task: Any,
        model: nn.Module,
        batches: Batches,
        settings: Settings,
        hooks: Hooks,
        optimizer: torch.optim.Optimizer,
        checkpoint: Path,
        device: torch.device,
        at: Progressed,
    ) -> None:
        self.task, self.model, self.batches, self.settings, self.hooks = task, model, batches, settings, hooks
        self.optimizer, self.checkpoint, self.device, self.at = optimizer, checkpoint, device, at
        self.epoch_steps = batches.steps_per_epoch
        self.total = settings.epochs * self.epoch_steps
        warmup = max(1, round(settings.warmup * self.epoch_steps))
        self.schedule = warmup_cosine(optimizer, warmup=warmup, steps=self.total, done=at.step)
        self.saved = time.monotonic()

    def train(self, caught: list[int]) -> None:
        """Steps until the end, early stop or a signal."""
        task, model, optimizer, schedule, limit = (
            self.task,
            self.model,
            self.optimizer,
            self.schedule,
            self.settings.clip,
        )
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        steps = self.batches.steps(self.at.step, self.total, workers=self.settings.workers)
        model.train()
        early = False
        with progress("Training", self.total, "steps", self.at.step) as bar:
            for batch in steps:
                started = time.monotonic()
                torch.manual_seed(generator_for(self.settings.seed, "step", self.at.step).initial_seed())
                result = gradients(task, model, batch.to(self.device))
                norm = clip_gradients(parameters, limit)
                stop_if_not_finite(result, norm, batch)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                task.after_step(model)
                self.at = replace(self.at, step=self.at.step + 1, seconds=self.at.seconds + time.monotonic() - started)
                bar.update(note=f"· loss {result.terms['loss']:.3f}")
                early = self._report(result, norm)
                if early or caught:
                    break
        self.at = replace(self.at, done=early or self.at.step >= self.total)
        self.save()
        if caught:
            raise Stopped(caught[0], self.at.step)

    def save(self) -> None:
        """Writes the checkpoint."""
        save_checkpoint(self.checkpoint, {"model": self.model, "task": self.task}, self.optimizer, self.at)
        self.saved = time.monotonic()

    def _report(self, result: StepResult, norm: float) -> bool:
        """After a step: at the end of an epoch the history, evaluation and best weights. -> whether to stop early"""
        step, end_of_epoch = self.at.step, self.at.step % self.epoch_steps == 0
        epoch = step // self.epoch_steps
        early = False
        if end_of_epoch:
            row = {"step": step, "epoch": epoch, **result.terms, "gradient_norm": norm, "seconds": self.at.seconds}
            row["learning_rate"] = self.schedule.get_last_lr()[0]
            if epoch % self.settings.evaluate_every == 0 or step == self.total:
                row.update(self._evaluate())
                waited = (step - self.at.best_step) // (self.epoch_steps * self.settings.evaluate_every)
                early = 0 < self.settings.patience <= waited
            self.hooks.record(row)
        if not early and time.monotonic() - self.saved > self.settings.save_every:  # an end is saved as an end
            self.save()
        return early

    def _evaluate(self) -> dict[str, float]:
        self.model.eval()
        figures = self.hooks.evaluate()
        self.model.train()
        score = figures["validation/score"]
        if not math.isfinite(score):
            raise AmodalError(
                f"validation/score is {score} after step {self.at.step}, so no weights can be called the best; lower "
                "training.learning_rate, or look at the validation rows; the last checkpoint is whole"
            )
        if score > self.at.best:
            self.at = replace(self.at, best=score, best_step=self.at.step)
            self.hooks.keep_best()
        return figures


def gradients(task: Task, model: nn.Module, batch: Batch) -> StepResult:
    """The loss of one batch and its gradient, in one pass."""
    result = task.step(model, batch)
    result.loss.backward()
    return result


def clip_gradients(parameters: list[Tensor], limit: float) -> float:
    """Scales the gradient down to the norm `limit` (0: never). -> its norm before"""
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if norm > limit > 0:  # clip_grad_norm_ would write every gradient again to scale it by one
        nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm.item()


def stop_if_not_finite(result: StepResult, norm: float, batch: Batch) -> None:
    """Raises AmodalError, naming rows of the batch, when the loss or the gradient is NaN or infinite."""
    if math.isfinite(result.terms["loss"]) and math.isfinite(norm):
        return
    rows = ", ".join(batch.key[:5])
    raise AmodalError(
        f"loss {result.terms['loss']} and gradient norm {norm} are not both finite in a batch with {rows}; "
        "lower training.learning_rate, or look at these rows; the last checkpoint is whole"
    )


@contextmanager
def _signals() -> Iterator[list[int]]:
    """While inside, SIGINT and SIGTERM are noted and not acted on; outside the main thread nothing changes."""
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread
        before = {}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
