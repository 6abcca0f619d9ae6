"""Limits: who knows the truth gets 1, a coin a half, and a bag of words exactly a half where only the order tells."""

import re
import zlib
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from PIL import Image

from amodal.audit import LIMITS, Measured, Trial, measure, scene_trials, told
from amodal.core.errors import DataError
from amodal.data.scenes import Scenes, load_pool
from amodal.metrics import Figure

COUNT = 150
ORDER_ONLY = {limit.name for limit in LIMITS if limit.order_only}


@pytest.fixture(scope="module")
def trials() -> dict[str, list[Trial]]:
    return scene_trials(Scenes("seen", seed=0), COUNT)


@pytest.fixture(scope="module")
def measured(trials: dict[str, list[Trial]]) -> Measured:
    """An oracle, one who is always wrong, a coin and a bag of words, side by side."""
    true = {(trial.picture.tobytes(), trial.true) for found in trials.values() for trial in found}
    words = {trial.picture.tobytes(): bag(trial.group) for found in trials.values() for trial in found}

    def oracle(pictures: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
        return np.array([(p.tobytes(), t) in true for p, t in zip(pictures, texts, strict=True)], dtype=float)

    def coin(pictures: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
        pairs = zip(pictures, texts, strict=True)
        return np.array([np.random.default_rng(zlib.crc32(p.tobytes() + t.encode())).random() for p, t in pairs])

    def bag_of_words(pictures: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
        pairs = zip(pictures, texts, strict=True)
        return np.array([len(words[p.tobytes()] & set(re.findall(r"[\w’-]+", t))) for p, t in pairs], dtype=float)

    def wrong(pictures: Sequence[Image.Image], texts: Sequence[str]) -> np.ndarray:
        return -oracle(pictures, texts)

    return measure({"oracle": oracle, "wrong": wrong, "coin": coin, "bag": bag_of_words}, trials, "seen")


@cache
def bag(group: str) -> set[str]:
    """The words of the names of everything in the scene that trials are about."""
    scene = Scenes("seen", seed=0)[int(group.removeprefix("scene "))]
    return {word for thing in scene.things for word in load_pool().names[thing.concept].split()}


def test_the_oracle_gets_everything_right_and_its_contrary_nothing(measured: Measured) -> None:
    for figure in measured.figures["oracle"].values():
        assert (figure.value, figure.low, figure.high, figure.chance) == (1, 1, 1, 0.5)
        assert figure.n == COUNT
        assert told(figure) == "told"
    for figure in measured.figures["wrong"].values():
        assert (figure.value, told(figure)) == (0, "reversed")


def test_a_coin_is_near_chance(measured: Measured) -> None:
    values = [figure.value for figure in measured.figures["coin"].values()]
    assert np.abs(np.array(values) - 0.5).max() < 4 * 0.5 / np.sqrt(COUNT)
    assert all(0.1 < figure.high - figure.low < 0.25 for figure in measured.figures["coin"].values())


def test_a_bag_of_words_fails_exactly_where_only_the_order_tells(measured: Measured) -> None:
    figures = measured.figures["bag"]
    for name in ORDER_ONLY:
        assert (figures[name].value, figures[name].low, figures[name].high) == (0.5, 0.5, 0.5)
        assert told(figures[name]) == "not told"
    assert figures["objects"].value > 0.9


def test_the_word_for_a_figure() -> None:
    def figure(low: float, high: float, n: int = 6) -> Figure:
        return Figure(value=0.5, low=low, high=high, chance=0.5, n=n)

    assert told(figure(0.5, 0.9)) == "not told"
    assert told(figure(0.51, 0.9)) == "told"
    assert told(figure(0.1, 0.49)) == "reversed"
    assert told(figure(1.0, 1.0, n=5)) == "too few"  # a coin does so once in sixteen, either way


def test_pictures_of_one_group_count_once() -> None:
    picture = Image.new("RGB", (4, 4))
    trials = {"siblings": [Trial(picture, f"a{n}", f"b{n}", f"concept {n // 2}") for n in range(40)]}
    right = {f"a{n}": float(n % 4 < 2) for n in range(40)}
    found = measure({"half": lambda pictures, texts: np.array([right.get(t, 0.5) for t in texts])}, trials, "seen")
    figure = found.figures["half"]["siblings"]
    assert (figure.value, figure.n) == (0.5, 20)
    assert figure.high - figure.low > 0.35  # of 40 independent trials it would be 0.3


def test_scores_that_are_no_numbers_are_refused() -> None:
    trial = Trial(Image.new("RGB", (4, 4)), "a", "b", "0")
    with pytest.raises(DataError, match="broken scores a picture"):
        measure({"broken": lambda pictures, texts: np.full(len(texts), np.nan)}, {"objects": [trial]}, "seen")


def test_json_has_every_figure_with_its_chance(measured: Measured) -> None:
    found = measured.to_json()
    assert [limit["name"] for limit in found["limits"]] == [limit.name for limit in measured.limits]
    assert len(found["limits"]) == 6
    assert set(found["figures"]) == {"oracle", "wrong", "coin", "bag"}
    assert found["figures"]["coin"]["counting"]["chance"] == 0.5
    assert found["figures"]["bag"]["negation"]["told"] == "not told"
