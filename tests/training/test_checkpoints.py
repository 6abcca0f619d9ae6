"""Checkpoints: everything comes back; what is damaged or of another model is refused and named."""

import math
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from amodal.core.errors import RunError
from amodal.training import (
    Progressed,
    build_optimizer,
    learned_state,
    load_checkpoint,
    load_learned,
    load_weights,
    save_checkpoint,
    save_weights,
)

AT = Progressed(step=7, best=0.25, best_step=5, seconds=1.5)


class Net(nn.Module):
    """A frozen part that comes from its source, and a part that is learned."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.tower = nn.Linear(3, width)
        self.body = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))
        self.tower.requires_grad_(False)
        self.tower.frozen_from_source = True  # pyright: ignore[reportArgumentType]


def trained(seed: int = 0, steps: int = 3, **given: int) -> tuple[dict[str, nn.Module], torch.optim.AdamW]:
    torch.manual_seed(seed)
    modules: dict[str, nn.Module] = {"model": Net(**given), "task": nn.Linear(2, 1)}
    optimizer = build_optimizer(modules.values(), learning_rate=0.1, weight_decay=0.1, betas=(0.9, 0.98))
    for _ in range(steps):
        model = modules["model"]
        assert isinstance(model, Net)
        (model.body(torch.randn(5, 3)).square().sum() + modules["task"](torch.randn(5, 2)).sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return modules, optimizer


def learned(modules: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
    return {f"{name}.{key}": t for name, module in modules.items() for key, t in learned_state(module).items()}


def moments(optimizer: torch.optim.Optimizer) -> dict[tuple[int, str], torch.Tensor]:
    states = optimizer.state_dict()["state"]
    return {(number, name): value for number, state in states.items() for name, value in state.items()}


def test_round_trip(tmp_path: Path) -> None:
    modules, optimizer = trained()
    save_checkpoint(tmp_path / "c", modules, optimizer, AT)
    others, other = trained(seed=1)
    assert load_checkpoint(tmp_path / "c", others, other) == AT
    expected, found = learned(modules), learned(others)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert {"model.body.1.running_mean", "model.body.1.num_batches_tracked", "task.bias"} <= found.keys()
    before, after = moments(optimizer), moments(other)
    assert len(before) == 3 * 6  # the step and two moments of six parameters
    assert before.keys() == after.keys()
    assert all(torch.equal(before[at], after[at]) and before[at].dtype == after[at].dtype for at in before)


def test_an_optimiser_that_has_not_stepped_and_no_best_yet(tmp_path: Path) -> None:
    modules, optimizer = trained(steps=0)
    save_checkpoint(tmp_path / "c", modules, optimizer, Progressed())
    at = load_checkpoint(tmp_path / "c", *trained(seed=1, steps=0))
    assert at.best == -math.inf
    assert (at.step, at.done) == (0, False)


def test_the_rate_and_decay_are_the_optimisers_own(tmp_path: Path) -> None:
    modules, optimizer = trained()
    save_checkpoint(tmp_path / "c", modules, optimizer, AT)
    others, _ = trained(seed=1)
    other = build_optimizer(others.values(), learning_rate=0.5, weight_decay=0.3, betas=(0.8, 0.9))
    load_checkpoint(tmp_path / "c", others, other)
    assert [group["lr"] for group in other.param_groups] == [0.5, 0.5]
    assert [group["weight_decay"] for group in other.param_groups] == [0.3, 0.0]


def test_what_comes_from_its_source_is_not_kept(tmp_path: Path) -> None:
    modules, optimizer = trained()
    save_checkpoint(tmp_path / "c", modules, optimizer, AT)
    assert not any("tower" in name for name in load_file(tmp_path / "c"))
    others, other = trained(seed=1)
    tower = {name: t.clone() for name, t in others["model"].state_dict().items() if "tower" in name}
    load_checkpoint(tmp_path / "c", others, other)
    assert all(torch.equal(others["model"].state_dict()[name], t) for name, t in tower.items())


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_half_written_file_is_refused(tmp_path: Path, keep: int) -> None:
    modules, optimizer = trained()
    save_checkpoint(tmp_path / "c", modules, optimizer, AT)
    (tmp_path / "c").write_bytes((tmp_path / "c").read_bytes()[:keep])
    with pytest.raises(RunError, match=r"cannot be read .*another --out"):
        load_checkpoint(tmp_path / "c", modules, optimizer)


def test_a_safetensors_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    modules, optimizer = trained()
    for name, header in (("plain", None), ("weights", {"format": "pt"})):
        save_file(learned(modules), tmp_path / name, header)
        with pytest.raises(RunError, match=f"{name} is not a checkpoint"):
            load_checkpoint(tmp_path / name, modules, optimizer)


def test_a_failed_write_leaves_the_last_whole_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules, optimizer = trained()
    save_checkpoint(tmp_path / "c", modules, optimizer, AT)

    def half(tensors: dict, path: Path, header: dict) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("amodal.training.checkpoints.save_file", half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path / "c", modules, optimizer, Progressed(step=9))
    assert load_checkpoint(tmp_path / "c", modules, optimizer).step == 7
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_another_model_is_named(tmp_path: Path) -> None:
    modules, optimizer = trained()
    save_checkpoint(tmp_path / "c", modules, optimizer, AT)
    wider, other = trained(width=5)
    place = re.escape(str(tmp_path / "c"))
    with pytest.raises(RunError, match=rf"{place}: body\S+ is \(4.*the model has \(5"):
        load_checkpoint(tmp_path / "c", wider, other)
    modules["model"].add_module("extra", nn.Linear(1, 1, bias=False))
    with pytest.raises(RunError, match=r"tensor 'extra\.weight' is missing"):
        load_checkpoint(tmp_path / "c", modules, optimizer)


def test_load_learned_refuses_before_it_changes_anything() -> None:
    module = nn.Linear(2, 2)
    before = {name: t.clone() for name, t in module.state_dict().items()}
    zeros = {name: torch.zeros_like(t) for name, t in before.items()}
    for wrong in ({"weight": zeros["weight"]}, {**zeros, "more": torch.zeros(1)}, {**zeros, "bias": torch.zeros(3)}):
        with pytest.raises(RunError, match="here: "):
            load_learned(module, wrong, "here")
        assert all(torch.equal(module.state_dict()[name], t) for name, t in before.items())
    load_learned(module, zeros, "here")
    assert not module.weight.any()


def test_weights_are_a_plain_safetensors_file(tmp_path: Path) -> None:
    modules, _ = trained()
    save_weights(tmp_path / "w", modules)
    assert load_file(tmp_path / "w").keys() == learned(modules).keys()
    others, _ = trained(seed=1)
    load_weights(tmp_path / "w", others)
    assert all(torch.equal(t, learned(modules)[name]) for name, t in learned(others).items())
    (tmp_path / "w").write_bytes(b"half")
    with pytest.raises(RunError, match=r"w cannot be read"):
        load_weights(tmp_path / "w", others)
    with pytest.raises(RunError, match="absent"):
        load_weights(tmp_path / "absent", others)


def test_tied_tensors_are_kept_twice_and_come_back(tmp_path: Path) -> None:
    tied = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    first, second = tied
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    second.weight = first.weight
    save_weights(tmp_path / "w", {"model": tied})
    kept = first.weight.detach().clone()
    first.weight.data.zero_()
    load_weights(tmp_path / "w", {"model": tied})
    assert torch.equal(second.weight, kept)
