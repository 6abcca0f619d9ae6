"""The loop: it learns, and however it is stopped, going on gives the weights of an unbroken run, bit for bit."""

import math
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, Tokens
from amodal.core.errors import AmodalError
from amodal.core.seeds import generator_for
from amodal.models import DualEncoder, ProjectionHead
from amodal.tasks import Contrastive
from amodal.training import Hooks, Progressed, Settings, Stopped, train

CPU = torch.device("cpu")
SETTINGS = Settings(
    epochs=6,
    learning_rate=0.02,
    weight_decay=0.1,
    betas=(0.9, 0.98),
    warmup=1.0,
    clip=1.0,
    evaluate_every=1,
    patience=0,
    save_every=1e9,
    seed=3,
    workers=0,
)


class Body(nn.Module):
    """A trained image tower with everything that must survive a stop: dropout and running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 5))

    def forward(self, pixels: Tensor) -> Tokens:
        pooled = self.layers(pixels)
        return Tokens(pooled[:, None], torch.ones(len(pooled), 1, dtype=torch.bool), pooled)


class Pairs:
    """Eight pictures a batch with the words that a fixed map makes of them; five steps an epoch."""

    steps_per_epoch = 5

    def __init__(self, poison: int | None = None, *, by: float = math.nan) -> None:
        self.map, self.poison, self.by = torch.randn(6, 4, generator=generator_for(0)), poison, by
        self.asked: list[int] = []

    def steps(self, first: int, last: int, *, workers: int = 0) -> Iterator[Batch]:
        for step in range(first, last):
            self.asked.append(step)
            pixels = torch.randn(8, 6, generator=generator_for(1, step % 5))
            words = pixels @ self.map
            if step == self.poison:
                pixels = pixels.clamp(-1, 1) * self.by
            text = Tokens(words[:, None], torch.ones(8, 1, dtype=torch.bool), words)
            keys = tuple(f"row {step}.{number}" for number in range(8))
            yield Batch(pair_id=torch.arange(8), key=keys, pixels=pixels, text=text)


@dataclass
class Run:
    """One process of a run: its model, and what its hooks were told."""

    folder: Path
    settings: Settings = SETTINGS
    pairs: Pairs = field(default_factory=Pairs)
    score: Callable[[int], float] = float
    at_record: Callable[[dict[str, float]], None] = lambda row: None
    rows: list[dict[str, float]] = field(default_factory=list)
    best: list[int] = field(default_factory=list)
    evaluated: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(len(list(self.folder.iterdir())) if self.folder.exists() else 0)
        self.model = DualEncoder(Body(), nn.Identity(), ProjectionHead(5, 4, noise=0.1), ProjectionHead(4, 4))
        self.task = Contrastive()

    @property
    def checkpoint(self) -> Path:
        return self.folder / "last.safetensors"

    def go(self) -> Progressed:
        hooks = Hooks(evaluate=self._evaluate, record=self._record, keep_best=lambda: self.best.append(self._epoch))
        return train(self.task, self.model, self.pairs, self.settings, hooks, checkpoint=self.checkpoint, device=CPU)

    @property
    def _epoch(self) -> int:
        return (self.pairs.asked[-1] + 1) // self.pairs.steps_per_epoch

    def _evaluate(self) -> dict[str, float]:
        self.evaluated.append(self.model.training)
        torch.rand(3)  # an evaluation that draws must not change what training draws
        return {"validation/score": self.score(self._epoch)}

    def _record(self, row: dict[str, float]) -> None:
        self.rows.append(row)
        self.at_record(row)

    def weights(self) -> dict[str, Tensor]:
        return {**self.model.state_dict(), "scale": self.task.objective.logit_scale.detach()}


def same_weights(one: Run, other: Run) -> bool:
    a, b = one.weights(), other.weights()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def told(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def unbroken(folder: Path, **given: Any) -> Run:
    run = Run(folder, **given)
    run.go()
    return run


def test_it_learns_what_it_could_not_guess(tmp_path: Path) -> None:
    """Chance is ln 8 = 2.08 for the loss of a batch of eight."""
    run = Run(tmp_path, settings=replace(SETTINGS, epochs=30))
    at = run.go()
    losses = [row["loss"] for row in run.rows]
    assert len(losses) == 30
    assert losses[0] > 1.0
    assert losses[-1] < losses[0] / 2
    assert (at.step, at.done, at.best, at.best_step) == (150, True, 30.0, 150)
    assert run.evaluated == [False] * 30
    assert run.model.training


def test_history_rows(tmp_path: Path) -> None:
    run = unbroken(tmp_path, settings=replace(SETTINGS, evaluate_every=4))
    assert [row["step"] for row in run.rows] == [5, 10, 15, 20, 25, 30]
    assert [row["epoch"] for row in run.rows] == [1, 2, 3, 4, 5, 6]
    assert [row["epoch"] for row in run.rows if "validation/score" in row] == [4, 6]  # and always at the end
    assert all(
        {"loss", "bound", "logit_scale", "gradient_norm", "learning_rate", "seconds"} <= row.keys() for row in run.rows
    )
    assert run.rows[-1]["learning_rate"] == pytest.approx(0.0, abs=1e-9)
    assert run.best == [4, 6]


def test_same_seed_same_weights_whatever_was_drawn_before(tmp_path: Path) -> None:
    one, other = Run(tmp_path / "a"), Run(tmp_path / "b")
    one.go()
    torch.manual_seed(99)
    other.go()
    assert same_weights(one, other)
    differently = Run(tmp_path / "c", settings=replace(SETTINGS, seed=4))
    differently.go()
    assert not same_weights(one, differently)


@pytest.mark.parametrize("epoch", [1, 3, 5, 6])
def test_stopped_by_a_signal_and_continued_equals_unbroken(tmp_path: Path, epoch: int) -> None:
    def interrupt(row: dict[str, float]) -> None:
        if row["epoch"] == epoch:
            signal.raise_signal(signal.SIGINT)

    whole = unbroken(tmp_path / "whole")
    stopped = Run(tmp_path / "run", at_record=interrupt)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped, match=f"stopped after step {5 * epoch}") as caught:
        stopped.go()
    assert caught.value.signal_number == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is handler
    continued = Run(tmp_path / "run")
    assert not same_weights(continued, stopped)
    at = continued.go()
    assert continued.pairs.asked == list(range(5 * epoch, 30))
    assert same_weights(continued, whole)
    assert told(stopped.rows + continued.rows) == told(whole.rows)
    assert at.best_step == 30


def test_continuing_warns_of_nothing(tmp_path: Path) -> None:
    stopped = Run(tmp_path, at_record=lambda row: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Stopped) as caught:
        stopped.go()
    assert caught.value.signal_number == signal.SIGTERM
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Run(tmp_path).go()


@pytest.mark.parametrize("step", [7, 15, 16])
def test_killed_anywhere_it_replays_from_the_last_state(tmp_path: Path, step: int) -> None:
    """A kill leaves what was saved last: here of every step, but the kill comes before the save of `step`."""

    class Killed(Run):
        def go(self) -> Progressed:
            after_step, task = self.task.after_step, self.task

            def dying(model: DualEncoder) -> None:
                if len(self.pairs.asked) == step:
                    raise KeyboardInterrupt  # nothing runs after it, as in a kill
                after_step(model)

            task.after_step = dying  # type: ignore[method-assign]
            return super().go()

    whole = unbroken(tmp_path / "whole")
    killed = Killed(tmp_path / "run", settings=replace(SETTINGS, save_every=-1.0))
    with pytest.raises(KeyboardInterrupt):
        killed.go()
    continued = unbroken(tmp_path / "run")
    assert continued.pairs.asked == list(range(step - 1, 30))
    assert same_weights(continued, whole)


def test_killed_between_record_and_checkpoint_the_epoch_is_told_again(tmp_path: Path) -> None:
    def kill(row: dict[str, float]) -> None:
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    whole = unbroken(tmp_path / "whole")
    killed = Run(tmp_path / "run", settings=replace(SETTINGS, save_every=-1.0), at_record=kill)
    with pytest.raises(KeyboardInterrupt):
        killed.go()
    continued = unbroken(tmp_path / "run")
    assert continued.pairs.asked[0] == 14  # the state of step 14 was saved; step 15 comes again
    assert told(continued.rows[:1]) == told(killed.rows[-1:])
    assert same_weights(continued, whole)


def test_killed_before_the_first_checkpoint_it_starts_anew(tmp_path: Path) -> None:
    killed = Run(tmp_path / "run", at_record=lambda row: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        killed.go()
    assert not killed.checkpoint.exists()


def test_a_run_that_is_done_returns_at_once(tmp_path: Path) -> None:
    whole = unbroken(tmp_path)
    again = Run(tmp_path)
    at = again.go()
    assert at.done
    assert at.step == 30
    assert again.pairs.asked == again.rows == again.evaluated == []
    assert same_weights(again, whole)


def test_early_stop_by_patience(tmp_path: Path) -> None:
    def rises_until_two(epoch: int) -> float:
        return float(min(epoch, 2))

    run = Run(tmp_path, settings=replace(SETTINGS, epochs=20, patience=3), score=rises_until_two)
    at = run.go()
    assert [row["epoch"] for row in run.rows] == [1, 2, 3, 4, 5]  # three evaluations without gain after the second
    assert (at.done, at.best_step, at.best) == (True, 10, 2.0)
    assert run.best == [1, 2]
    assert Run(tmp_path, settings=run.settings).go().step == 25


def test_patience_counts_evaluations_and_not_epochs(tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=20, patience=2, evaluate_every=3)
    run = unbroken(tmp_path, settings=settings, score=lambda epoch: -epoch)
    assert run.rows[-1]["epoch"] == 9


@pytest.mark.parametrize("last", [14, 15])
def test_killed_while_stopping_early_it_stays_stopped(tmp_path: Path, last: int) -> None:
    """Whichever save of the end is the last that came through, the run does not go beyond the end."""
    settings = replace(SETTINGS, epochs=20, patience=2, save_every=-1.0)
    run = Run(tmp_path, settings=settings, score=lambda epoch: -epoch)
    replaced, original = [], Path.replace

    def kill_after(self: Path, target: Path) -> Path:
        if len(replaced) == last:
            raise KeyboardInterrupt
        replaced.append(target)
        return original(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", kill_after)
        if last == 14:
            with pytest.raises(KeyboardInterrupt):
                run.go()
        else:
            run.go()
    again = Run(tmp_path, settings=settings, score=lambda epoch: -epoch)
    assert again.go().step == 15
    assert again.pairs.asked == list(range(last, 15))
    assert same_weights(again, run)


def test_not_a_number_stops_and_names_rows(tmp_path: Path) -> None:
    run = Run(tmp_path, pairs=Pairs(poison=12))
    with pytest.raises(
        AmodalError, match=r"not both finite in a batch where the inputs of 8 of 8 rows are not: row 12\.0, row 12\.1"
    ) as caught:
        run.go()
    assert "nan" in str(caught.value)
    assert all(value.isfinite().all() for value in run.weights().values())
    assert [row["epoch"] for row in run.rows] == [1, 2]


def test_a_step_that_is_not_made_leaves_the_statistics_of_the_one_before(tmp_path: Path) -> None:
    """Features overflow and not inputs; the module is named, and the state is that of an early end."""

    def interrupt(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            signal.raise_signal(signal.SIGINT)

    run = Run(tmp_path / "bad", pairs=Pairs(poison=10, by=3e38))
    with pytest.raises(AmodalError, match=r"not finite is that of image_tower\.layers\.1\. Step 11 was not made"):
        run.go()
    early = Run(tmp_path / "early", at_record=interrupt)
    with pytest.raises(Stopped):
        early.go()
    assert same_weights(run, early)


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_a_score_that_is_no_number_stops_and_is_named(tmp_path: Path, bad: float) -> None:
    run = Run(tmp_path, score=lambda epoch: bad if epoch == 3 else float(epoch))
    with pytest.raises(AmodalError, match=rf"validation/score is {bad} after step 15.*learning_rate"):
        run.go()
    assert run.best == [1, 2]
    assert [row["epoch"] for row in run.rows] == [1, 2]


def test_a_large_gradient_is_clipped(tmp_path: Path) -> None:
    run = unbroken(tmp_path / "clipped", settings=replace(SETTINGS, clip=1e-3))
    free = unbroken(tmp_path / "free", settings=replace(SETTINGS, clip=0.0))
    assert run.rows[0]["gradient_norm"] > 1e-3  # the norm before clipping is what is told
    assert not same_weights(run, free)


def test_the_scale_stays_within_its_limits(tmp_path: Path) -> None:
    run = unbroken(tmp_path, settings=replace(SETTINGS, learning_rate=3.0))
    assert all(0 <= row["logit_scale"] <= math.log(100) + 1e-6 for row in run.rows)


def test_what_is_frozen_stays(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.model.image_tower.requires_grad_(False)
    before = {name: p.clone() for name, p in run.model.named_parameters()}
    run.go()
    for name, p in run.model.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith("image_tower")
