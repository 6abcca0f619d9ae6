"""Plots: decoded and looked at by numbers; the arithmetic behind them against plain versions."""

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from amodal.runs import plots

STEPS = range(1, 101)
HISTORY = [
    {"step": s, "epoch": s / 10, "loss": 5 / s, "bound": 5 - 5 / s, "logit_scale": 2 + s / 100, "learning_rate": 1e-3}
    for s in STEPS
] + [
    {"step": 10 * e, "epoch": e, "validation/loss": 4 / (1 + e), "validation/image_to_text/R@1": e / 20}
    | {"validation/image_to_text/R@1/chance": 0.01, "validation/text_to_image/R@10": e / 12}
    for e in range(11)
]
FEATURES = np.random.default_rng(0).normal(size=(2, 40, 6))
DRAW: dict[str, Callable[[Any], Any]] = {
    "loss": lambda theme: plots.plot_loss(HISTORY, theme),
    "scale": lambda theme: plots.plot_scale(HISTORY, theme),
    "learning_rate": lambda theme: plots.plot_learning_rate(HISTORY, theme),
    "recall": lambda theme: plots.plot_recall(HISTORY, theme=theme),
    "similarity": lambda theme: plots.plot_similarity(FEATURES[0] @ FEATURES[1].T, theme),
    "map": lambda theme: plots.plot_map(FEATURES[0], FEATURES[1], theme),
}


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)


def share_of(image: np.ndarray, colour: str) -> float:
    return float((np.abs(image - ImageColor.getrgb(colour)).max(axis=2) < 12).mean())


@pytest.mark.parametrize("name", DRAW)
def test_each_plot_shows_something_in_both_themes(name: str) -> None:
    made = plots.both_themes(DRAW[name])
    light, dark = pixels(made["light"]), pixels(made["dark"])
    assert light.shape == dark.shape
    assert light.shape[1] == round(4.8 * plots.DOTS_PER_INCH)
    assert light.std() > 12
    assert dark.std() > 12
    assert share_of(light, plots.PALETTES["light"].paper) > 0.25
    assert share_of(dark, plots.PALETTES["dark"].paper) > 0.25


@pytest.mark.parametrize(
    ("name", "colours"), [("loss", "image text other"), ("recall", "image text"), ("map", "image text")]
)
def test_each_line_is_drawn_in_its_colour(name: str, colours: str) -> None:
    image = pixels(plots.png(DRAW[name]("light")))
    for colour in colours.split():
        assert share_of(image, getattr(plots.PALETTES["light"], colour)) > 0.0005


def test_empty_and_broken_histories_still_draw() -> None:
    for history in ([], [{"step": 1, "epoch": 1, "loss": float("nan")}], HISTORY[:1]):
        for draw in (plots.plot_loss, plots.plot_scale, plots.plot_learning_rate, plots.plot_recall):
            assert pixels(plots.png(draw(history))).size


def test_the_same_plot_gives_the_same_bytes() -> None:
    assert plots.png(DRAW["loss"]("light")) == plots.png(DRAW["loss"]("light"))


def test_no_global_state_is_touched() -> None:
    code = """
import sys
from amodal.runs import plots
assert "matplotlib" not in sys.modules
import matplotlib
before = matplotlib.rcParams.copy()
plots.png(plots.plot_loss([{"step": 1, "loss": 2.0, "bound": 1.0}], "dark"))
assert matplotlib.rcParams.copy() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_recall_panels_come_in_the_order_of_k() -> None:
    assert list(plots._panels(HISTORY)) == ["R@1", "R@10"]
    other = [{"step": 1, "epoch": 1, "validation/zero_shot/top-1": 0.5, "validation/loss": 3.0}]
    assert plots._panels(other) == {"zero-shot, top-1": ["zero_shot/top-1"]}
    assert plots._chance(HISTORY, "image_to_text/R@1", None) == 0.01
    assert plots._chance(HISTORY, "image_to_text/R@1", {"image_to_text/R@1": 0.0}) == 0.0


def test_running_mean_against_a_plain_one() -> None:
    y = np.random.default_rng(2).normal(size=50)
    plain = []
    for at in range(50):
        half = min(at, 49 - at, 4)
        plain.append(y[at - half : at + half + 1].mean())
    np.testing.assert_allclose(plots._running_mean(y, 4), plain)


def test_plane_is_that_of_the_singular_value_decomposition() -> None:
    image, text = FEATURES[0] + 5.0, FEATURES[1] - 5.0
    centred = np.concatenate([image - image.mean(0), text - text.mean(0)])
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    image_N2, text_N2, explained = plots.joint_plane(image, text)
    plane = np.abs(np.concatenate([image_N2, text_N2]))  # the sign of a component is free
    np.testing.assert_allclose(plane, np.abs(left[:, :2] * singular[:2]), atol=1e-9)
    assert explained == pytest.approx((singular[:2] ** 2).sum() / (singular**2).sum())
    np.testing.assert_allclose(image_N2.mean(0), text_N2.mean(0), atol=1e-9)
