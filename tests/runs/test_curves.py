"""The chart of a study: every line in its colour in both themes, intervals drawn, ticks where they were asked for."""

import io

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from PIL import Image, ImageColor

from amodal.runs.curves import Chart, Line, plot_chart
from amodal.runs.plots import PALETTES, both_themes, png

X, Y = [8.0, 32.0, 128.0, 1024.0], [0.2, 0.3, 0.35, 0.36]
LINES = [
    Line(label="batches", x=X, y=Y, low=[y - 0.05 for y in Y], high=[y + 0.05 for y in Y]),
    Line(label="rings", x=X, y=[y + 0.1 for y in Y], shade=1, joined=False),
    Line(label="limit", x=X, y=[0.5] * 4, shade=2, dashed=True),
]
CHART = Chart(title="Recall", x_label="pairs", lines=LINES, shares=True, ticks=X, levels={"chance": 0.01})


def share_of(content: bytes, colour: str) -> float:
    image = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)
    return float((np.abs(image - ImageColor.getrgb(colour)).max(axis=2) < 12).mean())


def test_every_line_is_drawn_in_both_themes() -> None:
    made = both_themes(lambda theme: plot_chart(CHART, theme))
    for theme, content in made.items():
        palette = PALETTES[theme]
        assert share_of(content, palette.paper) > 0.5
        for colour in (palette.image, palette.text, palette.other, palette.faint):
            assert share_of(content, colour) > 0.0003
    assert png(plot_chart(CHART)) == made["light"]


def test_intervals_ticks_and_shares() -> None:
    (axes,) = plot_chart(CHART).axes
    assert axes.get_xscale() == "log"
    assert axes.get_xticks().tolist() == X
    assert [label.get_text() for label in axes.get_xticklabels()] == ["8", "32", "128", "1,024"]
    drawn = axes.get_lines()[0]
    np.testing.assert_allclose(np.asarray(drawn.get_ydata(), float), 100 * np.array(Y))
    collection = axes.collections[0]
    assert isinstance(collection, LineCollection)
    bars = [np.asarray(segment) for segment in collection.get_segments()]
    np.testing.assert_allclose([segment[:, 1] for segment in bars], [[100 * (y - 0.05), 100 * (y + 0.05)] for y in Y])
    assert {text.get_text() for text in axes.texts} == {"batches", "rings", "limit", "chance"}


@pytest.mark.parametrize("lines", [[], [Line(label="one", x=[1.0], y=[2.0])]])
def test_little_to_draw_is_no_error(lines: list[Line]) -> None:
    assert png(plot_chart(Chart(title="x", x_label="x", lines=lines, log_x=False)))
