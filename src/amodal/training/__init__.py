"""The only loop, the optimiser's groups and schedule, and checkpoints that make a resumed run equal an unbroken one."""

from amodal.training.checkpoints import (
    Progressed,
    learned_state,
    load_checkpoint,
    load_learned,
    load_modules,
    load_weights,
    save_checkpoint,
    save_weights,
)
from amodal.training.diagnosis import Diagnosis, cut_captions
from amodal.training.gradients import Accumulated, Cached, Gradients, Task, plain, refuse_batch_statistics
from amodal.training.loop import Batches, Hooks, LostRank, Settings, Stopped, train
from amodal.training.memory import Way, bytes_per_pair, choose_gradients
from amodal.training.optimizer import build_optimizer, parameter_groups, warmup_cosine
from amodal.training.parallel import sharded

__all__ = [
    "Accumulated",
    "Batches",
    "Cached",
    "Diagnosis",
    "Gradients",
    "Hooks",
    "LostRank",
    "Progressed",
    "Settings",
    "Stopped",
    "Task",
    "Way",
    "build_optimizer",
    "bytes_per_pair",
    "choose_gradients",
    "cut_captions",
    "learned_state",
    "load_checkpoint",
    "load_learned",
    "load_modules",
    "load_weights",
    "parameter_groups",
    "plain",
    "refuse_batch_statistics",
    "save_checkpoint",
    "save_weights",
    "sharded",
    "train",
    "warmup_cosine",
]
