"""The only loop, the optimiser's groups and schedule, and checkpoints that make a resumed run equal an unbroken one."""

from amodal.training.checkpoints import (
    Progressed,
    learned_state,
    load_checkpoint,
    load_learned,
    load_weights,
    save_checkpoint,
    save_weights,
)
from amodal.training.loop import Hooks, Settings, Stopped, train
from amodal.training.optimizer import build_optimizer, parameter_groups, warmup_cosine

__all__ = [
    "Hooks",
    "Progressed",
    "Settings",
    "Stopped",
    "build_optimizer",
    "learned_state",
    "load_checkpoint",
    "load_learned",
    "load_weights",
    "parameter_groups",
    "save_checkpoint",
    "save_weights",
    "train",
    "warmup_cosine",
]
