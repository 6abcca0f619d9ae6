"""Do more negatives help, and does a queue (MoCo, He et al. 2020) part their number from memory?

S seeds · N concepts
"""

import math
from collections import Counter
from functools import cached_property
from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from amodal.runs.curves import Chart
from amodal.studies.bench import METHOD, RECALL, Bench, BenchConfig, Training
from amodal.studies.study import Check, Findings, Interval, Measured, Study, line_of, mean_interval, rows_of
from amodal.studies.wording import SPACE, interval
from amodal.training import choose_gradients

ACTIVATIONS, QUEUE, COPY = "activations, bytes", "queue, bytes", "momentum copy, bytes"
SHARE = 0.5
RATE, RATE_AT = 0.002, 256


class BatchSizeConfig(BenchConfig):
    """pairs: batch sizes, the last is the global batch of what goes in parts; rows: that live at once where memory is
    kept small; momentum: of the copy that fills the queue."""

    pairs: tuple[int, ...] = (8, 32, 128, 512, 1024)
    rows: int = Field(default=32, ge=2)
    momentum: float = 0.98
    epochs: int = Field(default=16, ge=1)


class Case(NamedTuple):
    """One setting. batch: pairs a step of the optimiser; negatives: that a pair is told from; more: what the recipe
    says beside."""

    batch: int
    negatives: int
    more: tuple[str, ...] = ()


class BatchSize(Study[BatchSizeConfig]):
    """Recall against the number of negatives, got in four ways, with the memory of each."""

    name: ClassVar = "batch-size"
    claim: ClassVar = "More negatives help, and a queue of keys decouples their number from memory."
    rule: ClassVar = (
        "On the test concepts recall with a loss over 1,024 pairs exceeds that with losses over parts of 32 of these "
        "1,024; recall of batches of 32 with a queue of 1,024 keys exceeds that of batches of 32 alone; and the "
        f"queue with the activations it adds takes less than {SHARE:.0%} of the activations of 1,024 pairs in one pass."
    )
    method: ClassVar = (
        f"{METHOD} All settings see the same pairs equally often. In parts: 1,024 pairs a step of the optimiser, each "
        "part with a loss of its own, so that only the number of negatives differs. Batches: as many pairs a step, the "
        "rate scaled with the square root of their number (Malladi et al. 2022). Activations: the most bytes that "
        "autograd holds at once in a step, without weights and the batch's own features."
    )
    cost: ClassVar = "10 minutes on one CPU core, and 2 for the features the first time"
    config_class: ClassVar = BatchSizeConfig
    tiny: ClassVar = {"seeds": 2, "pairs": [4, 8, 32], "rows": 8, "epochs": 2, "few": True}

    @cached_property
    def bench(self) -> Bench:
        """The features and splits of all trainings."""
        return Bench(self.place, [f"training.epochs={self.config.epochs}"], few=self.config.few)

    def cases(self) -> dict[str, Case]:
        """Setting -> what it is."""
        config, whole, rows = self.config, self.config.pairs[-1], self.config.rows
        plain = ("training.gradients=plain",)
        cases = {
            parts_name(whole, each): Case(whole, each - 1, _in_parts("accumulated", each)) for each in config.pairs[:-1]
        }
        cases |= {batch_name(each): Case(each, each - 1, plain) for each in config.pairs}
        cases[f"{whole:,} cached in parts of {rows:,}"] = Case(whole, whole - 1, _in_parts("cached", rows))
        for keys in (rows, whole):  # with few keys: what the momentum copy does by itself
            queue = (f"task.queue={keys}", f"task.momentum={config.momentum}", *plain)
            cases[queue_name(rows, keys)] = Case(rows, rows - 1 + keys, queue)
        return cases

    def settings(self) -> list[str]:
        """Every way to get negatives."""
        return list(self.cases())

    def measure(self, setting: str, seed: int) -> dict[str, list[float]]:
        """Recall, and what a step holds in memory."""
        case = self.cases()[setting]
        rate = RATE * math.sqrt(case.batch / RATE_AT)
        overrides = [f"training.batch_size={case.batch}", f"training.learning_rate={rate}", *case.more]
        trained = self.bench.train(f"{setting}-{seed}", seed, overrides)
        return {**self.bench.found(trained, "test"), **memory_of_step(trained)}

    def conclude(self, measured: Measured) -> Findings:
        """What negatives and the queue gain, and what the queue takes."""
        whole, rows = self.config.pairs[-1], self.config.rows
        few, many, alone = parts_name(whole, rows), batch_name(whole), batch_name(rows)
        queue = queue_name(rows, whole)
        checks = [
            Check(
                says=f"{more} less {less}, recall",
                found=mean_interval(measured[more][RECALL] - measured[less][RECALL]),
                above=0.0,
                unit="points",
            )
            for more, less in ((many, few), (queue, alone))
        ]
        gain = mean_interval(measured[queue][RECALL] - measured[queue_name(rows, rows)][RECALL])
        longer = interval(gain, "points", signed=True)
        held = {name: figures[ACTIVATIONS].mean() for name, figures in measured.items()}
        keys, copy = (measured[queue][each].mean() for each in (QUEUE, COPY))
        share = float((keys + held[queue] - held[alone]) / held[many])
        says = f"memory that a queue of {whole:,} adds, over that of {many}"
        checks.append(Check(says=says, found=Interval(share, share, share), below=SHARE, unit="%"))
        table = [row for figure in (RECALL, "R@1", "R@5") for row in rows_of(measured, figure, "%", many)]
        table += [row for figure in (ACTIVATIONS, QUEUE, COPY) for row in rows_of(measured, figure, "", None)]
        told = ", ".join(f"{setting} {megabytes(size)}" for setting, size in held.items())
        return Findings(
            checks=checks,
            rows=table,
            against=many,
            chart=self._chart(measured),
            notes=[
                f"Recall with a queue of {whole:,} keys less that with one of {rows:,}: {longer}.",
                f"Activations: {told}. The queue takes {megabytes(keys)}, its copy of the heads {megabytes(copy)}.",
            ],
        )

    def _chart(self, measured: Measured) -> Chart:
        config, whole = self.config, self.config.pairs[-1]
        families = {
            f"{whole:,} in parts": [parts_name(whole, each) for each in config.pairs[:-1]] + [batch_name(whole)],
            "batches": [batch_name(each) for each in config.pairs],
            f"{config.rows} with a queue": [queue_name(config.rows, keys) for keys in (config.rows, whole)],
        }
        lines = []
        for shade, (label, names) in enumerate(families.items()):
            x = [self.cases()[name].negatives + 1 for name in names]
            many = batch_name(whole)
            lines.append(line_of(measured, RECALL, names, x, many, label=label, shade=shade, joined=shade < 2))
        return Chart(
            title="Recall on test concepts; rings: with a queue and momentum copy",
            x_label="pairs that a pair is compared with, itself among them",
            bars=f"95 % interval of the difference to {batch_name(whole)}",
            shares=True,
            lines=lines,
            ticks=config.pairs,
        )


def batch_name(pairs: int) -> str:
    """The setting of plain batches."""
    return f"batches of {pairs:,}"


def parts_name(whole: int, rows: int) -> str:
    """The setting of a global batch in parts, each with a loss of its own."""
    return f"{whole:,} in parts of {rows:,}"


def queue_name(rows: int, queue: int) -> str:
    """The setting of small batches with a queue."""
    return f"batches of {rows:,} with a queue of {queue:,}"


def _in_parts(way: str, rows: int) -> tuple[str, ...]:
    return (f"training.gradients={way}", f"training.micro_batch={rows}")


def megabytes(count: float) -> str:
    """Bytes as people read them."""
    return f"{count / 1e6:.2f}{SPACE}MB"


def memory_of_step(trained: Training) -> dict[str, list[float]]:
    """What one step as the recipe makes it holds: activations, and the queue and copy of its task."""
    training, model = trained.recipe.training, trained.encoder.model.train()
    (batch,) = trained.batches.steps(0, 1)
    parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    gradients, _ = choose_gradients(training.gradients, training.micro_batch, trained.task, model, batch, parameters)
    with Held(model) as held:
        gradients(trained.task, model, batch)
    beside = {COPY: 0.0, QUEUE: 0.0}
    for name, buffer in trained.task.named_buffers():
        beside[COPY if name.startswith("copy/") else QUEUE] += buffer.numel() * buffer.element_size()
    return {ACTIVATIONS: [float(held.most)], **{name: [size] for name, size in beside.items()}}


class Held:
    """Inside, counts the bytes that autograd holds for the backward pass: every storage once, without the weights.

    most: the largest number at one time.
    """

    def __init__(self, model: nn.Module) -> None:
        self.most = self._now = 0
        self._weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self._times: Counter[int] = Counter()
        self._hooks = torch.autograd.graph.saved_tensors_hooks(lambda x: _Kept(x, self), lambda kept: kept.tensor)

    def __enter__(self) -> "Held":
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    def count(self, tensor: Tensor, times: int) -> None:
        """A tensor is held once more, or (times = -1) once less."""
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place in self._weights:
            return
        before = self._times[place]
        self._times[place] += times
        if before == 0 or self._times[place] == 0:
            self._now += times * storage.nbytes()
            self.most = max(self.most, self._now)


class _Kept:
    """A saved tensor that tells when it is let go."""

    def __init__(self, tensor: Tensor, held: Held) -> None:
        self.tensor, self._held = tensor.detach(), held
        held.count(self.tensor, 1)

    def __del__(self) -> None:
        self._held.count(self.tensor, -1)
