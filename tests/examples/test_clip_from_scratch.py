"""The one-file example: the loss is the package's, it learns, and it runs as a person would run it."""

import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F

from amodal.objectives import info_nce

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "clip_from_scratch.py"
TINY = ["--size", "16", "--batch", "16", "--limit", "16"]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("clip_from_scratch", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On layers this small threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_loss_is_that_of_the_package(example: ModuleType) -> None:
    draw = torch.Generator().manual_seed(0)
    image, text = (torch.randn(7, 5, generator=draw, dtype=torch.float64).requires_grad_() for _ in range(2))
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    gradients = []
    for loss in (info_nce, example.info_nce):
        value = loss(image_BD=F.normalize(image, dim=1), text_BD=F.normalize(text, dim=1), logit_scale=scale)
        gradients.append((value.detach(), *torch.autograd.grad(value, (image, text, scale))))
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.usefixtures("one_thread")
def test_learns_a_few_pairs(example: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    losses, figures = example.main(["--steps", "80", *TINY])
    guessing = math.log(16)
    assert losses[0] > 0.8 * guessing
    assert sum(losses[-10:]) / 10 < 0.6 * guessing
    told = capsys.readouterr().out
    assert "guessing 2.773" in told
    for name, (found, chance) in figures.items():
        assert 0 <= found <= 1
        assert 0 < chance < 0.05
        assert name in told


def test_runs_from_a_shell() -> None:
    command = [sys.executable, str(EXAMPLE), "--steps", "2", *TINY]
    told = subprocess.run(
        command, check=True, capture_output=True, text=True, encoding="utf-8", env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert "zero-shot" in told.stdout
    assert "chance" in told.stdout


def test_sides_share_no_concept(example: ModuleType) -> None:
    known, unseen = example.load("train", 4), example.load("test", 4)
    assert not set(known.concept) & set(unseen.concept)
    assert len(example.load("train", 4, limit=3).image_NCHW) == 6  # two drawings of each


def test_a_batch_holds_a_concept_once(example: ModuleType) -> None:
    image_NCHW = torch.arange(6.0).view(6, 1, 1, 1)
    captions = [(str(number), f"number {number}") for number in range(6)]
    pairs = example.Pairs(image_NCHW, captions, ["a", "a", "b", "b", "c", "c"])
    endless = example.batches(pairs, 2)
    for _ in range(20):
        image_BCHW, texts = next(endless)
        numbers = [int(value) for value in image_BCHW.flatten()]
        assert len({number // 2 for number in numbers}) == 2
        assert [int(text.split()[-1]) for text in texts] == numbers


def test_recall_and_chance_by_hand(example: ModuleType) -> None:
    query = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    item = torch.tensor([[0.9, 0.1], [0.8, 0.9], [1.0, 0.0], [0.0, 0.5]])
    right = torch.tensor([[True, False, False, False], [False, True, False, True]])
    assert example.recall(query, item, right, 1) == pytest.approx((0.5, (1 / 4 + 2 / 4) / 2))
    assert example.recall(query, item, right, 2) == pytest.approx((1.0, (1 / 2 + (1 - 1 / 6)) / 2))


def test_padding_changes_nothing(example: ModuleType) -> None:
    words = example.Words([("red heart", "a heart"), ("red apple", "an apple", "a rose")])
    assert set(words.number) == {"red", "a"}
    encoder = example.TextEncoder(len(words)).eval()
    short, long = "red", "red a red a red"
    alone, together = encoder(words([short])), encoder(words([short, long]))
    torch.testing.assert_close(alone[0], together[0])
    assert words(["never met", ""]).tolist() == [[1, 1], [1, 0]]


def test_augmentation_keeps_white_white(example: ModuleType) -> None:
    assert not example.augment(torch.zeros(3, 3, 8, 8)).any()
    picture = torch.rand(3, 3, 8, 8)
    assert example.augment(picture).shape == picture.shape
