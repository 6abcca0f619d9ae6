"""Where a loss or a gradient that is NaN or infinite began: in which rows of the batch, which module of the model."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, StepResult
from amodal.runs.findings import Finding

SHOWN = 5


def not_finite(
    step: int,
    batch: Batch,
    result: StepResult,
    norm: float,
    *,
    model: nn.Module,
    again: Callable[[], None],
    alone: bool = True,
) -> Finding | None:
    """Whether the loss or the gradient is NaN or infinite, and where it began: in which rows and in which module.

    again: encodes the batch with the model once more; alone: whether no other process has rows of the batch.
    """
    if math.isfinite(result.terms["loss"]) and math.isfinite(norm):
        return None
    inputs, features = broken_inputs(batch), broken_features(result)
    rows, where, todo = range(len(batch)), "with", "no row stands out: lower training.learning_rate"
    if inputs:
        rows, where, todo = (
            inputs,
            f"where the inputs of {len(inputs)} of {len(batch)} rows are not:",
            "mend or remove these rows",
        )
    elif 0 < len(features) < len(batch):
        rows, where = features, f"where the features of {len(features)} of {len(batch)} rows are not:"
        todo = "look at these rows, and where they are sound lower training.learning_rate"
    elif not alone:
        todo = "no row of this process stands out: see what another one names, or lower training.learning_rate"
    module = "" if inputs else first_broken_module(model, again)
    began = f" The first output that is not finite is that of {module}." if module else ""
    names = ", ".join(batch.key[row] for row in rows[:SHOWN])
    says = (
        f"loss {result.terms['loss']} and gradient norm {norm} are not both finite in a batch {where} {names}; {todo}."
        f"{began} Step {step} was not made, and the last checkpoint stays as it is"
    )
    return Finding(name="not finite", severity="error", says=says, first=step, last=step)


def broken_inputs(batch: Batch) -> list[int]:
    """Rows of a batch whose pixels or cached features, be they of their picture, are not all finite."""
    shown = [x for x in (batch.pixels, None if batch.image is None else batch.image.pooled) if x is not None]
    broken = _not_finite_rows(shown)
    if batch.picture is not None:
        broken = [row for row, picture in enumerate(batch.picture.tolist()) if picture in broken]
    return sorted({*broken, *_not_finite_rows([] if batch.text is None else [batch.text.pooled])})


def broken_features(result: StepResult) -> list[int]:
    """Rows whose features are not all finite; where these are all rows, the weights are not."""
    return _not_finite_rows(list(result.features.values()))


def first_broken_module(model: nn.Module, forward: Callable[[], None]) -> str:
    """The name of the module whose output is the first one with a number that is not finite; "" where all are."""
    broken: list[str] = []

    def look(name: str, output: object) -> None:
        if not broken and not all(x.isfinite().all() for x in _tensors(output)):
            broken.append(name)

    named = [(name or type(part).__name__, part) for name, part in model.named_modules()]
    hooks = [
        part.register_forward_hook(lambda part, given, output, name=name: look(name, output)) for name, part in named
    ]
    try:
        with torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return broken[0] if broken else ""


def _tensors(output: object) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, Iterable):
        for value in output:
            yield from _tensors(value)


def _not_finite_rows(given: Sequence[Tensor]) -> list[int]:
    rows = {row for x in given for row in (~x.flatten(1).isfinite().all(1)).nonzero().flatten().tolist()}
    return sorted(rows)
