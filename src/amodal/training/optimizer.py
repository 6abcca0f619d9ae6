"""AdamW (Loshchilov & Hutter 2019) with the groups of this field, warm-up and cosine decay."""

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def parameter_groups(modules: Iterable[nn.Module], weight_decay: float) -> list[dict]:
    """Trainable parameters in two groups: matrices decay; norms, biases, gains and the logit scale do not."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim >= 2]
    plain = [p for p in parameters if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def build_optimizer(
    modules: Iterable[nn.Module], *, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> torch.optim.AdamW:
    """AdamW over the trainable parameters of `modules`. Raises ValueError when there are none."""
    groups = parameter_groups(modules, weight_decay)
    if not groups:
        raise ValueError("nothing is trainable: every tower and head is frozen")
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=True)  # one pass over memory
    optimizer.register_step_pre_hook(_lay_alike)
    return optimizer


@torch.no_grad()
def _lay_alike(optimizer: torch.optim.Optimizer, args: object, kwargs: object) -> None:
    """Lays gradients and moments out in memory as their parameter is.

    Fused AdamW pairs numbers by where they lie and does not look at strides (PyTorch 2.14): a moment that comes back
    from a file in plain order would silently be applied to other weights of a channels-last kernel.
    """
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        if parameter.grad is not None and parameter.grad.stride() != parameter.stride():
            parameter.grad = torch.empty_like(parameter).copy_(parameter.grad)
        state = optimizer.state.get(parameter, {})
        for name, value in state.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter).copy_(value)


def warmup_cosine(optimizer: torch.optim.Optimizer, *, warmup: int, steps: int, done: int = 0) -> LambdaLR:
    """The rate rises linearly for `warmup` steps, then falls along half a cosine to zero at `steps`.

    done: finished steps of a run that goes on.
    """

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        share = (step - warmup) / max(1, steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return LambdaLR(optimizer, factor, last_epoch=done - 1)
