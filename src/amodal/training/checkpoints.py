"""Checkpoints: one safetensors file that holds every tensor and, in its header, the rest of the state as JSON.

One file is replaced in one rename, so that a killed run finds the last whole state and nothing else.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from amodal.core.errors import AmodalError, RunError
from amodal.core.files import atomic_path
from amodal.training.parallel import like, whole


@dataclass
class Progressed:
    """How far a run has come. step: finished optimiser steps; best: the best validation figure so far and its step;
    diagnosis: what `Diagnosis.state` gave."""

    step: int = 0
    best: float = float("-inf")
    best_step: int = 0
    seconds: float = 0.0
    done: bool = False
    recipe: str = field(default="")
    diagnosis: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, at: Progressed, *, write: bool = True
) -> None:
    """Writes the state of `modules` (name -> module), of the optimiser and `at`, atomically.

    write: one of several ranks does; all call, because what is sharded is put together first, and is stored whole: any
    number of ranks can go on with it.
    Only what training changes is kept: parameters that are frozen come back from where they came.
    """
    tensors = _named_state(modules)
    scalars: dict[str, Any] = {}
    for number, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            name = f"optimizer.{number}.{key}"
            if isinstance(value, Tensor):
                tensors[name] = value
            else:
                scalars[name] = value
    header = {"state": json.dumps(asdict(at)), "scalars": json.dumps(scalars)}
    _save(tensors, path, header, write)


def load_checkpoint(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> Progressed:
    """Puts the state of a checkpoint back. Raises RunError when the file is damaged or of another model."""
    header, tensors = _read(path)
    _put_back(modules, tensors, path)
    states: dict[int, dict[str, Any]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    values = {**tensors, **json.loads(header["scalars"])}
    for key, value in values.items():
        if key.startswith("optimizer."):
            _, number, field_name = key.split(".", 2)
            part = like(value, parameters[int(number)]) if isinstance(value, Tensor) else value
            states.setdefault(int(number), {})[field_name] = part
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    return Progressed(**json.loads(header["state"]))


def load_modules(path: Path, modules: dict[str, nn.Module]) -> None:
    """Puts back what a checkpoint holds of these modules, and nothing else. Raises RunError as `load_checkpoint`."""
    own = tuple(f"{name}." for name in modules)
    _put_back(modules, {key: value for key, value in _read(path)[1].items() if key.startswith(own)}, path)


def learned_state(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module without its wholly frozen parts: a frozen tower, for one, comes back from its source."""
    frozen = tuple(
        f"{name}."
        for name, part in module.named_modules(remove_duplicate=False)
        if name and getattr(part, "frozen_from_source", False)
    )
    return {key: value for key, value in module.state_dict().items() if not key.startswith(frozen)}


def load_learned(module: nn.Module, tensors: dict[str, Tensor], place: str) -> None:
    """Loads what `learned_state` gave. Raises RunError naming a tensor that is missing, surplus or misshapen."""
    expected = learned_state(module)
    for name in expected.keys() ^ tensors.keys():
        raise RunError(f"{place}: tensor {name!r} is {'missing' if name in expected else 'not of this model'}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise RunError(f"{place}: {name} is {tuple(tensor.shape)}, the model has {tuple(expected[name].shape)}")
    module.load_state_dict({name: like(tensor, expected[name]) for name, tensor in tensors.items()}, strict=False)


def save_weights(path: Path, modules: dict[str, nn.Module], *, write: bool = True) -> None:
    """Writes the `learned_state` of `modules` (name -> module) as one plain safetensors file, atomically.

    write: as in `save_checkpoint`.
    """
    _save(_named_state(modules), path, {"format": "pt"}, write)


def load_weights(path: Path, modules: dict[str, nn.Module]) -> None:
    """Puts back what `save_weights` wrote. Raises RunError when the file is damaged or of another model."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} cannot be read ({error}); copy it again or train anew") from error
    _put_back(modules, tensors, path)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as stored:
            header = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RunError(
            f"the checkpoint {path} cannot be read ({error}); start the run anew with another --out"
        ) from error
    if not {"state", "scalars"} <= header.keys():
        raise RunError(
            f"{path} is not a checkpoint of a training that can go on; start the run anew with another --out"
        )
    return header, tensors


def _named_state(modules: dict[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{name}.{key}": value for name, module in modules.items() for key, value in learned_state(module).items()}


def _save(tensors: dict[str, Tensor], path: Path, header: dict[str, str], write: bool) -> None:
    together = {name: whole(tensor.detach()) for name, tensor in tensors.items()}
    for name, tensor in together.items():
        if not tensor.isfinite().all():
            raise AmodalError(
                f"{name} is not finite after the last step, so this state is not saved and {path} stays as it was; "
                "lower training.learning_rate"
            )
    if not write:
        return
    stored = {name: tensor.cpu().contiguous().clone() for name, tensor in together.items()}
    try:
        with atomic_path(path) as temporary:
            save_file(stored, temporary, header)
    except SafetensorError as error:
        raise OSError(None, str(error), str(path)) from error


def _put_back(modules: dict[str, nn.Module], tensors: dict[str, Tensor], path: Path) -> None:
    known = (*(f"{name}." for name in modules), "optimizer.")
    for key in tensors:
        if not key.startswith(known):
            raise RunError(f"{path}: tensor {key!r} is not of this model")
    for name, module in modules.items():
        own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        load_learned(module, own, str(path))
