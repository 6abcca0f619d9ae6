"""Lines with their intervals against one quantity: what a study shows. Looks and themes are those of `plots`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from amodal.runs.plots import PALETTES, Theme, _canvas, _label_ends, _title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 6.6, 3.9  # inches
_MORE = {"light": ("#8e4585", "#8a6d00", "#5b6675"), "dark": ("#d68fc9", "#d9c04a", "#a3aebb")}
DASHES = (0, (4, 3))
_LETTERS = 90  # so many stand beside each other below the axis


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line or row of points. low and high: bounds of each point's interval; shade: which colour, 0 to 5.

    joined: a line through the points, else rings; dashed: a line without points, as of a limit or a fitted curve.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    shade: int = 0
    joined: bool = True
    dashed: bool = False


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What is drawn. bars: what the intervals are of, told below it; shares: shown in per cent; levels: dashed
    horizontals by their name; ticks: where the x axis is labelled, by default where matplotlib likes;
    tick_names: what is written there in place of the value."""

    title: str
    x_label: str
    lines: Sequence[Line]
    bars: str = ""
    unit: str = ""
    shares: bool = False
    log_x: bool = True
    ticks: Sequence[float] = ()
    tick_names: Sequence[str] = ()
    levels: dict[str, float] = field(default_factory=dict)


def plot_chart(chart: Chart, theme: Theme = "light") -> "Figure":
    """Every line with its intervals, named at its right end."""
    figure, (axes,) = _canvas(theme)
    figure.set_size_inches(WIDTH, HEIGHT)
    palette = PALETTES[theme]
    colours = (palette.image, palette.text, palette.other, *_MORE[theme])
    axes.set_xscale("log" if chart.log_x else "linear")
    ends = [_draw(axes, line, colours[line.shade], 100 if chart.shares else 1) for line in chart.lines]
    for label, value in chart.levels.items():
        value = 100 * value if chart.shares else value
        axes.axhline(value, color=palette.faint, linewidth=1, linestyle=DASHES, zorder=1)
        ends.append((value, label, palette.faint))
    if chart.shares:
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g} %")
    _ticks(axes, chart)
    _label_ends(axes, ends)
    _title(axes, chart.title, chart.unit)
    told = f"\nbars: {chart.bars}" if chart.bars else ""
    axes.set_xlabel(chart.x_label + told, fontsize=9, color=palette.faint)
    return figure


def _draw(axes: "Axes", line: Line, colour: str, times: float) -> tuple[float, str, str] | None:
    """Draws one line. -> where it ends, for its label"""
    x, y = np.asarray(line.x, float), times * np.asarray(line.y, float)
    if line.low is not None and line.high is not None:
        below, above = y - times * np.asarray(line.low, float), times * np.asarray(line.high, float) - y
        bars: Any = np.maximum([below, above], 0)
        axes.errorbar(x, y, bars, fmt="none", ecolor=colour, elinewidth=1.2, alpha=0.6, zorder=2)
    look: dict[str, Any] = {"linewidth": 1.8, "marker": "o", "markersize": 4.5}
    if not line.joined:
        look = {"linewidth": 0, "marker": "o", "markersize": 8, "fillstyle": "none"}
    if line.dashed:
        look = {"linewidth": 1.2, "linestyle": DASHES}
    axes.plot(x, y, color=colour, zorder=3, **look)
    return (float(y[-1]), line.label, colour) if line.label and len(x) else None


def _ticks(axes: "Axes", chart: Chart) -> None:
    if len(chart.ticks):
        axes.set_xticks(list(chart.ticks))
        axes.set_xticks([], minor=True)
    if chart.tick_names:
        crowded = sum(max(map(len, name.split("\n"))) for name in chart.tick_names) > _LETTERS
        look: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
        axes.set_xticklabels(chart.tick_names, fontsize=8, **look)
    else:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}")
