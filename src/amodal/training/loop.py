"""The only training loop. It knows batches, a task, a model and an optimiser; everything else it is given."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
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
from amodal.core.ranks import Ranks, lost_a_rank
from amodal.core.seeds import generator_for
from amodal.runs.findings import Finding
from amodal.training.checkpoints import Progressed, load_checkpoint, save_checkpoint
from amodal.training.diagnosis import Diagnosis
from amodal.training.gradients import Gradients
from amodal.training.memory import Way, choose_gradients
from amodal.training.optimizer import build_optimizer, warmup_cosine
from amodal.training.parallel import join_gradients, replicated, statistics_undone, whole


class Batches(Protocol):
    """What the loop reads: numbered steps, the same for the same number."""

    steps_per_epoch: int

    def steps(self, first: int, last: int, *, workers: int = 0) -> Iterator[Batch]:
        """The batches of steps first, ..., last - 1."""
        ...


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train. epochs, warmup (epochs), evaluate_every (epochs), patience (evaluations without gain; 0: never
    stops early), clip (largest gradient norm), save_every (seconds between checkpoints); gradients, micro_batch (pairs
    of a part; 0: what fits in memory): see `choose_gradients`."""

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
    gradients: Way = "auto"
    micro_batch: int = 0


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the loop calls with results it does not read itself.

    evaluate: figures of the model now, the one to maximise under "validation/score"; record: one row of history;
    keep_best: the model just became the best; say: a line for people; diagnosed: all findings so far, whenever there
    is a new one and with every checkpoint.
    """

    evaluate: Callable[[], dict[str, float]]
    record: Callable[[dict[str, float]], None]
    keep_best: Callable[[], None]
    say: Callable[[str], None] = lambda line: None
    diagnosed: Callable[[list[Finding]], None] = lambda findings: None


class Stopped(AmodalError):
    """Training was stopped by a signal after saving its state; `signal_number` says by which."""

    def __init__(self, signal_number: int, step: int) -> None:
        super().__init__(f"stopped after step {step}; the state is saved")
        self.signal_number = signal_number


class LostRank(AmodalError):
    """Another process of a training went away, and this one stopped."""

    def __init__(self, saved: int, error: BaseException) -> None:
        reason = str(error).splitlines()[0]
        super().__init__(
            f"another process of this training is gone ({reason}); the last saved state is that of step {saved}. Go on "
            "with any number of processes: torchrun --nproc-per-node N -m amodal train --resume RUN"
        )


def train(
    task: nn.Module,
    model: nn.Module,
    batches: Batches,
    settings: Settings,
    hooks: Hooks,
    *,
    checkpoint: Path,
    device: torch.device,
    found: Sequence[Finding] = (),
) -> Progressed:
    """Trains to the end, or goes on from `checkpoint` when it exists; the weights come out the same either way.

    With several ranks (`task.ranks`), all call; rank 0 writes the checkpoint, and calls `hooks` that write. found: of
    the time before training. Raises Stopped after SIGINT or SIGTERM, LostRank when another rank is gone, and
    AmodalError when loss, gradient, weights or validation score are not finite.
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
    run = _Run(task, model, batches, settings, hooks, optimizer, checkpoint, device, at, found)
    with _signals() as caught:
        try:
            run.train(caught)
        except RuntimeError as error:
            if run.ranks.count > 1 and lost_a_rank(error):
                raise LostRank(run.saved_step, error) from error
            raise
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
        found: Sequence[Finding],
    ) -> None:
        self.task, self.model, self.batches, self.settings, self.hooks = task, model, batches, settings, hooks
        self.optimizer, self.checkpoint, self.device, self.at = optimizer, checkpoint, device, at
        self.epoch_steps = batches.steps_per_epoch
        self.total = settings.epochs * self.epoch_steps
        warmup = max(1, round(settings.warmup * self.epoch_steps))
        self.schedule = warmup_cosine(optimizer, warmup=warmup, steps=self.total, done=at.step)
        self.diagnosis = Diagnosis(
            task,
            model,
            epoch=self.epoch_steps,
            warmup=warmup,
            clip=settings.clip,
            rate=settings.learning_rate,
            say=hooks.say,
            keep=hooks.diagnosed,
            alone=task.ranks.count == 1,
            state=at.diagnosis,
            before=found,
        )
        self.saved, self.saved_step = time.monotonic(), at.step
        self.ranks: Ranks = task.ranks
        self.gradients: Gradients | None = None
        self.stepped = model  # what steps are made with; with several ranks it exchanges gradients

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
        early, stopped = False, 0
        with progress("Training", self.total, "steps", self.at.step) as bar:
            for batch in steps:
                started = time.monotonic()
                batch = batch.to(self.device)
                gradients = self.gradients or self._choose(batch, parameters)
                with statistics_undone(model):
                    self._sow()
                    result = gradients(task, self.stepped, batch)
                    join_gradients(task, self.ranks)
                    norm = clip_gradients(parameters, limit)
                    self._watch(batch, result, norm)  # raises when these are not finite
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                task.after_step(model)
                self.at = replace(self.at, step=self.at.step + 1, seconds=self.at.seconds + time.monotonic() - started)
                bar.update(note=f"· loss {result.terms['loss']:.3f}")
                early = self._report(result, norm)
                stopped, due = self._agreed(caught)
                if early or stopped:
                    break
                if due:
                    self.save()
        self.at = replace(self.at, done=early or self.at.step >= self.total)
        self.save()
        if stopped:
            raise Stopped(stopped, self.at.step)

    def _watch(self, batch: Batch, result: StepResult, norm: float) -> None:
        def again() -> None:
            self._sow()
            for part in batch.parts(getattr(self.gradients, "rows", len(batch))):
                self.task.encode(self.model, part)

        self.diagnosis.watch(self.at.step + 1, batch, result, norm, again)

    def _agreed(self, caught: list[int]) -> tuple[int, bool]:
        """The signal that any rank has caught (0: none), and whether rank 0 finds it time to save."""
        due = time.monotonic() - self.saved > self.settings.save_every
        said = torch.tensor([caught[0] if caught else 0, int(due and self.ranks.rank == 0)], device=self.device)
        stopped, due = self.ranks.largest(said).tolist() if self.ranks.count > 1 else (caught[0] if caught else 0, due)
        return stopped, bool(due)

    def _sow(self) -> None:
        """Seeds this step's dropout, which differs between ranks."""
        names = ("step", self.at.step, *([self.ranks.rank] if self.ranks.rank else []))
        seed = generator_for(self.settings.seed, *names).initial_seed()
        # torch.manual_seed looks for every kind of device each time, a tenth of a step that learns heads alone
        (torch.default_generator if self.device.type == "cpu" else torch).manual_seed(seed)

    def _choose(self, batch: Batch, parameters: list[Tensor]) -> Gradients:
        """The way to get gradients, chosen once, at the first batch."""
        way, rows = self.settings.gradients, self.settings.micro_batch
        self.gradients, why = choose_gradients(way, rows, self.task, self.model, batch, parameters)
        self.hooks.say(why)
        self.stepped = replicated(self.task, self.model, batch, self.ranks)
        return self.gradients

    def save(self) -> None:
        """Writes the checkpoint."""
        self.at = replace(self.at, diagnosis=self.diagnosis.state())
        self.hooks.diagnosed(self.diagnosis.findings)
        modules = {"model": self.model, "task": self.task}
        save_checkpoint(self.checkpoint, modules, self.optimizer, self.at, write=self.ranks.rank == 0)
        self.saved, self.saved_step = time.monotonic(), self.at.step

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
        return early

    def _evaluate(self) -> dict[str, float]:
        self.model.eval()
        figures = self.hooks.evaluate()
        self.model.train()
        score = self._of_rank_0(figures["validation/score"])  # or ranks could part at the last digit
        if not math.isfinite(score):
            raise AmodalError(
                f"validation/score is {score} after step {self.at.step}, so no weights can be called the best; lower "
                "training.learning_rate, or look at the validation rows; the last checkpoint is whole"
            )
        if score > self.at.best:
            self.at = replace(self.at, best=score, best_step=self.at.step)
            self.hooks.keep_best()
        return figures

    def _of_rank_0(self, value: float) -> float:
        if self.ranks.count == 1:
            return value
        said = torch.tensor(value if self.ranks.rank == 0 else 0.0, dtype=torch.float64, device=self.device)
        return self.ranks.add(said).item()


def clip_gradients(parameters: list[Tensor], limit: float) -> float:
    """Scales the gradient down to the norm `limit` (0: never). -> its norm before"""
    norm = whole(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
    if norm > limit > 0:  # clip_grad_norm_ would write every gradient again to scale it by one
        nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm.item()


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
