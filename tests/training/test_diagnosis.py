"""Each symptom is provoked by a training that has it, and a healthy training has none."""

import json
import math
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Batch, StepResult, Tokens
from amodal.core.errors import AmodalError
from amodal.core.seeds import generator_for
from amodal.models import DualEncoder, ProjectionHead
from amodal.objectives import InfoNCE, TripletLoss
from amodal.recipes.schema import TrainingConfig
from amodal.recipes.settings import settings
from amodal.runs import Finding
from amodal.tasks import Contrastive
from amodal.training import Diagnosis, Hooks, Progressed, Stopped, cut_captions, train
from amodal.training.diagnosis import (
    Window,
    at_chance,
    at_clamp,
    effective_rank,
    is_collapsed,
    mean_cosine,
    modality_gap,
    too_high_rate,
    without_gradient,
)

SETTINGS = settings(TrainingConfig(epochs=20, batch_size=16, learning_rate=0.01, save_every=1e9, seed=3))


class Tower(nn.Module):
    """Two layers on vectors. cut: nothing flows back into it; same: it says the same of everything."""

    def __init__(self, width: int = 6, *, cut: bool = False, same: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, 12))
        self.cut, self.same = cut, same

    def forward(self, x: Tensor) -> Tokens:
        y = self.layers(x)
        y = y.detach() if self.cut else y
        y = y * 1e-4 + 1 if self.same else y
        return Tokens(y[:, None], torch.ones(len(y), 1, dtype=torch.bool), y)


class Pairs:
    """Sixteen pictures a batch with the words that a fixed map makes of them, or with words of other pictures."""

    steps_per_epoch = 10

    def __init__(self, *, shuffled: bool = False, poison: tuple[int, int] = (-1, 0)) -> None:
        self.map, self.shuffled, self.poison = torch.randn(6, 6, generator=generator_for(0)), shuffled, poison

    def steps(self, first: int, last: int, *, workers: int = 0) -> Iterator[Batch]:
        for step in range(first, last):
            pixels = torch.randn(16, 6, generator=generator_for(1, step))
            words = torch.randn(16, 6, generator=generator_for(2, step)) if self.shuffled else pixels @ self.map
            if step == self.poison[0]:
                words[self.poison[1]] = torch.inf
            text = Tokens(words[:, None], torch.ones(16, 1, dtype=torch.bool), words)
            keys = tuple(f"t.csv:{step}.{number}" for number in range(16))
            yield Batch(pair_id=torch.arange(16), key=keys, pixels=pixels, text=text)


class Run:
    """One training and what was said of it."""

    def __init__(
        self, folder: Path, *, tower: Callable[[], Tower] = Tower, task: Any = None, pairs: Pairs | None = None
    ) -> None:
        torch.manual_seed(0)
        heads = ProjectionHead(12, 12), ProjectionHead(6, 12)
        self.model = DualEncoder(tower(), nn.Identity(), *heads)
        self.task, self.pairs, self.checkpoint = task or Contrastive(), pairs or Pairs(), folder / "last"
        self.said: list[str] = []
        self.kept: list[list[Finding]] = []

    def go(self, record: Any = lambda row: None, **changes: Any) -> Progressed:
        hooks = Hooks(
            evaluate=lambda: {"validation/score": 0.0},
            record=record,
            keep_best=lambda: None,
            say=self.said.append,
            diagnosed=self.kept.append,
        )
        how, device = replace(SETTINGS, **changes), torch.device("cpu")
        return train(self.task, self.model, self.pairs, how, hooks, checkpoint=self.checkpoint, device=device)

    @property
    def found(self) -> dict[str, Finding]:
        return {finding.name: finding for finding in self.kept[-1]}


def test_a_healthy_training_is_silent(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.go()
    assert run.found == {}
    assert len(run.said) == 1  # how gradients are made


def test_pairs_that_do_not_belong_together_stay_at_chance(tmp_path: Path) -> None:
    run = Run(tmp_path, pairs=Pairs(shuffled=True))
    run.go()
    finding = run.found["loss at chance"]
    assert f"guessing costs {math.log(16):.3f}" in finding.says
    assert finding.first == 21  # windows of 20 steps; the first one holds the warm-up of ten
    assert finding.last == 200
    assert sum("loss at chance" in line for line in run.said) == 1


def test_a_tower_without_gradient_is_named(tmp_path: Path) -> None:
    run = Run(tmp_path, tower=partial(Tower, cut=True))
    run.go(epochs=2)
    assert list(run.found) == ["no gradient in the image tower"]
    finding = run.found["no gradient in the image tower"]
    assert "all of its 316 trainable" in finding.says
    assert (finding.first, finding.last) == (3, 18)


def test_a_frozen_tower_is_no_news(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.model.image_tower.requires_grad_(False)
    run.go(epochs=4)
    assert run.found == {}


def test_embeddings_that_are_one_point(tmp_path: Path) -> None:
    run = Run(tmp_path, tower=partial(Tower, same=True))
    run.go(epochs=5)
    assert "mean cosine is 1.000" in run.found["pictures collapsed"].says
    assert "captions collapsed" not in run.found


def test_a_gap_between_the_modalities(tmp_path: Path) -> None:
    """Each side is moved its own way along one line, and the steps are too small to bring them back."""
    run = Run(tmp_path)

    class Apart(nn.Module):
        def __init__(self, sign: float) -> None:
            super().__init__()
            self.head, self.sign = nn.Linear(12 if sign > 0 else 6, 12), sign

        def forward(self, x: Tensor) -> Tensor:
            return F.normalize(F.layer_norm(self.head(x), (12,)) + self.sign, dim=-1)

    run.model.image_head, run.model.text_head = Apart(1.0), Apart(-1.0)
    run.go(epochs=5, learning_rate=1e-4)
    assert "means are 1." in run.found["modality gap"].says
    assert run.found["modality gap"].severity == "note"


def test_the_scale_at_its_clamp(tmp_path: Path) -> None:
    """A linear map of six numbers is learnt exactly, and the loss would then have any scale."""
    run = Run(tmp_path)
    run.go(epochs=80, learning_rate=0.03)
    at = run.found["scale at its clamp"]
    assert at.severity == "note"
    assert "largest value, 100" in at.says
    fixed = Run(tmp_path / "fixed", task=Contrastive(InfoNCE(math.log(100), learned=False)))
    fixed.go(epochs=5, learning_rate=0.05)
    assert "scale at its clamp" not in fixed.found


def test_a_learning_rate_that_undoes_what_was_learnt(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.go(epochs=40, warmup=20, learning_rate=10.0)
    finding = run.found["learning rate too high"]
    assert "try training.learning_rate: 1," in finding.says
    assert "of what had been learnt is lost" in finding.says


def test_gradients_that_grow_while_the_loss_does() -> None:
    """Least squares by steepest descent beyond its largest stable rate, 2 over the curvature."""
    for rate, expected in ((1.9, []), (2.1, ["learning rate too high"])):
        model = nn.Linear(1, 1, bias=False)
        nn.init.constant_(model.weight, 5.0)
        said: list[Finding] = []
        watcher = Diagnosis(
            None, model, epoch=20, warmup=5, clip=1.0, rate=rate, say=lambda line: None, keep=said.extend
        )
        for step in range(1, 101):
            loss = 0.5 * model.weight.square().sum()
            (grad,) = torch.autograd.grad(loss, model.weight)
            result = StepResult(loss=loss, terms={"loss": loss.item()}, count=16)
            watcher.watch(step, some_batch(), result, grad.norm().item())
            with torch.no_grad():
                model.weight -= rate * grad
        assert sorted({finding.name for finding in said}) == expected


def some_batch(count: int = 16, **fields: Any) -> Batch:
    return Batch(pair_id=torch.arange(count), key=tuple(f"t.csv:{number}" for number in range(count)), **fields)


def test_what_is_not_finite_stops_before_the_step_and_names_its_row(tmp_path: Path) -> None:
    run = Run(tmp_path, pairs=Pairs(poison=(34, 5)))
    with pytest.raises(AmodalError, match=r"the inputs of 1 of 16 rows are not: t\.csv:34\.5; mend") as caught:
        run.go(save_every=-1.0)
    assert "Step 35 was not made" in str(caught.value)
    assert run.found["not finite"].first == 35
    assert all(value.isfinite().all() for value in run.model.state_dict().values())
    again = Run(tmp_path)  # the state of step 34, and the batch is mended
    assert again.go().step == 200
    whole = Run(tmp_path / "whole")
    whole.go()
    assert all(torch.equal(x, y) for x, y in zip(again.model.parameters(), whole.model.parameters(), strict=True))
    assert again.found == {}


def test_a_state_that_is_not_finite_is_never_saved(tmp_path: Path) -> None:
    """Loss and gradient of the step are finite; the step itself leaves the range of numbers."""
    run = Run(tmp_path)
    run.go(epochs=1)
    before = run.checkpoint.read_bytes()
    (tmp_path / "other").mkdir()
    other = Run(tmp_path / "other")
    other.checkpoint.write_bytes(before)

    def burst(model: DualEncoder) -> None:
        with torch.no_grad():
            next(model.parameters()).fill_(torch.inf)

    other.task.after_step = burst
    with pytest.raises(AmodalError, match=r"is not finite after the last step.*learning_rate"):
        other_go(other)
    assert not other.checkpoint.exists()


def other_go(run: Run) -> None:
    run.checkpoint.unlink()
    run.go(epochs=1, save_every=-1.0)


def test_captions_that_are_cut() -> None:
    texts = ["short"] * 97 + ["a long one", "b", "c" * 300]
    finding = cut_captions(texts, [3] * 97 + [9, 8, 40], 7)
    assert finding is not None
    assert finding.says.startswith("3.0% of the captions (3 of 100) are longer than the 7 tokens")
    assert "The longest has 40: 'ccc" in finding.says
    assert len(finding.says) < 500
    assert finding.when == "before training"
    assert cut_captions(texts, [7] * 100, 7) is None
    assert cut_captions(texts * 2, [3] * 199 + [8], 7) is None  # less than 1 %
    assert cut_captions([], [], 7) is None


def test_a_stopped_training_says_what_an_unbroken_one_says(tmp_path: Path) -> None:
    """Stopped between two looks, within a window, and after the first finding."""
    whole = Run(tmp_path / "whole", tower=partial(Tower, cut=True), pairs=Pairs(shuffled=True))
    whole.go(epochs=6)
    said: list[str] = []
    stops = {2, 3}
    while True:
        run = Run(tmp_path / "run", tower=partial(Tower, cut=True), pairs=Pairs(shuffled=True))

        def stop(row: dict[str, float]) -> None:
            if row["epoch"] in stops:
                stops.remove(int(row["epoch"]))
                signal.raise_signal(signal.SIGINT)

        try:
            run.go(epochs=6, record=stop)
        except Stopped:
            said += run.said[1:]
        else:
            break
    assert run.found == whole.found
    assert {"no gradient in the image tower", "loss at chance"} <= run.found.keys()
    assert said + run.said[1:] == whole.said[1:]


def test_the_state_is_json_of_a_few_numbers(tmp_path: Path) -> None:
    run = Run(tmp_path, pairs=Pairs(shuffled=True))
    at = run.go(epochs=5)
    assert json.loads(json.dumps(at.diagnosis)) == at.diagnosis
    assert at.diagnosis["findings"] == [asdict(finding) for finding in run.kept[-1]]
    assert len(json.dumps(at.diagnosis)) < 3000


def test_it_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched, plain = Run(tmp_path / "a"), Run(tmp_path / "b")
    watched.go(epochs=4)
    monkeypatch.setattr(Diagnosis, "watch", lambda *given: None)
    plain.go(epochs=4)
    assert all(torch.equal(x, y) for x, y in zip(watched.model.parameters(), plain.model.parameters(), strict=True))


def test_mean_cosine_is_that_of_all_pairs() -> None:
    x = F.normalize(torch.randn(7, 5, generator=generator_for(1)), dim=1)
    every = (x @ x.T)[~torch.eye(7, dtype=torch.bool)]
    assert mean_cosine(x) == pytest.approx(every.mean().item(), abs=1e-6)
    assert mean_cosine(x[:1].expand(4, 5)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_effective_rank(shape: tuple[int, int]) -> None:
    """Equal directions count fully, one direction is one, and otherwise it is the formula on singular values."""
    assert effective_rank(torch.eye(*shape)) == pytest.approx(5.0)
    assert effective_rank(torch.ones(shape)) == pytest.approx(1.0, abs=1e-4)
    assert effective_rank(torch.zeros(shape)) == 0.0
    x = torch.randn(shape, generator=generator_for(2), dtype=torch.float64)
    share = torch.linalg.svdvals(x) / torch.linalg.svdvals(x).sum()
    assert effective_rank(x) == pytest.approx((-(share * share.log()).sum()).exp().item(), rel=1e-9)


def test_modality_gap_by_hand() -> None:
    image, text = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[-1.0, 0.0], [0.0, -1.0]])
    assert modality_gap(image, text) == pytest.approx(math.sqrt(2))
    assert modality_gap(image, image) == 0.0


def test_thresholds() -> None:
    assert is_collapsed(0.96, 20.0, 64)
    assert is_collapsed(0.1, 1.9, 8)
    assert is_collapsed(0.1, 3.0, 64)
    assert not is_collapsed(0.94, 4.0, 64)
    calm = Window(20, 20, loss=40.0, square=80.0, chance=50.0)
    assert at_chance(calm) == ""
    assert at_chance(replace(calm, loss=49.4)) == ""
    assert "is 2.480 over steps 21 to 40; guessing costs 2.500" in at_chance(replace(calm, loss=49.6))
    assert at_chance(replace(calm, chance=0.0)) == ""  # an objective that knows no such loss
    assert at_clamp(replace(calm, largest=19)) == ""
    assert "smallest value, 1" in at_clamp(replace(calm, smallest=20))


def test_a_queue_that_fills_makes_no_rise() -> None:
    """The loss grows by 1.5, and so does what guessing costs."""
    low = Window(0, 20, loss=20.0, square=20.0, chance=40.0)
    assert too_high_rate(low, Window(20, 20, loss=50.0, square=125.0, chance=70.0), 1.0, 0.1) == ""
    assert too_high_rate(low, Window(20, 20, loss=50.0, square=125.0, chance=40.0), 1.0, 0.1) != ""


def test_triplets_that_keep_their_margin_have_no_gradient_and_that_is_well(tmp_path: Path) -> None:
    run = Run(tmp_path, task=Contrastive(TripletLoss(0.01, "all")))
    run.go(epochs=30)
    assert run.found == {}


def test_only_parts_without_any_gradient_are_named() -> None:
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "unused": nn.Linear(2, 3), "frozen": nn.Linear(2, 2)})
    model["frozen"].requires_grad_(False)
    used, unused = model["used"], model["unused"]
    (F.linear(torch.ones(1, 2), *used.parameters()).sum() + sum(0 * p.sum() for p in unused.parameters())).backward()
    assert without_gradient(model) == {"unused": 9}


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_few_different_pairs_are_not_judged(tmp_path: Path) -> None:
    """Two classes give two captions: their vectors fill two directions, and that is as it should be."""

    class Classes(Pairs):
        def steps(self, first: int, last: int, *, workers: int = 0) -> Iterator[Batch]:
            for batch in super().steps(first, last, workers=workers):
                label = torch.arange(16) % 2
                words = F.one_hot(label, 6).float()
                text = Tokens(words[:, None], torch.ones(16, 1, dtype=torch.bool), words)
                assert batch.pixels is not None
                yield replace(batch, pair_id=label, text=text, pixels=batch.pixels + 3 * words)

    run = Run(tmp_path, pairs=Classes())
    run.go(epochs=6)
    assert run.found == {}
