"""The plots of a run, as matplotlib figures of their own: no pyplot, no global state, a light and a dark theme.

B pairs of one batch · N pairs · D width
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from amodal.runs.wording import figure_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, float]]
Theme = Literal["light", "dark"]
Draw = Callable[[Theme], "Figure"]
DOTS_PER_INCH = 160
MAP_PAIRS = 250
"""How many pairs the map draws at most; more would hide each other."""


class Palette(NamedTuple):
    """Colours of one theme. image and text stay apart for colour-blind readers (Okabe and Ito 2008)."""

    paper: str
    ink: str
    faint: str
    line: str
    image: str
    text: str
    other: str
    heat: str


PALETTES: dict[Theme, Palette] = {
    "light": Palette("#ffffff", "#1c2430", "#5b6675", "#d9dee5", "#0072b2", "#c24e00", "#00805d", "Blues"),
    "dark": Palette("#161b22", "#e8edf3", "#a3aebb", "#343d49", "#56b4e9", "#f0a04b", "#3fc79a", "cividis"),
}


def plot_loss(history: Rows, theme: Theme = "light") -> "Figure":
    """Loss and the mutual-information bound against the step, in nats, with the loss of chance, as far as known.

    A loss that stays at the dashed line has learnt nothing: it is what features that carry nothing would get.
    """
    figure, (axes,) = _canvas(theme)
    colours = PALETTES[theme]
    ends = [
        _curve(axes, *_column(history, "loss"), colours.image, "training loss"),
        _curve(axes, *_column(history, "validation/loss"), colours.other, "validation loss", marker="o"),
        _curve(axes, *_column(history, "bound"), colours.text, "information bound"),
    ]
    chance = _column(history, "chance")[1]
    if len(chance):
        ceiling = float(np.median(chance))
        axes.axhline(ceiling, color=colours.faint, linewidth=1, linestyle=(0, (4, 3)))
        ends.append((ceiling, "chance", colours.faint))
    _label_ends(axes, ends)
    bound = any("bound" in row for row in history)
    _title(axes, "Loss and mutual-information bound" if bound else "Loss", "nats" if len(chance) else "")
    _steps(axes)
    return figure


def plot_scale(history: Rows, theme: Theme = "light") -> "Figure":
    """What cosines are multiplied by, exp(logit_scale), against the step."""
    figure, (axes,) = _canvas(theme)
    step, scale = _column(history, "logit_scale")
    _curve(axes, step, np.exp(scale), PALETTES[theme].image, "", smooth=False)
    _title(axes, "Scale that cosines are multiplied by", "")
    _steps(axes)
    return figure


def plot_learning_rate(history: Rows, theme: Theme = "light") -> "Figure":
    """The learning rate against the step: the schedule as it was run."""
    figure, (axes,) = _canvas(theme)
    _curve(axes, *_column(history, "learning_rate"), PALETTES[theme].other, "", smooth=False)
    _title(axes, "Learning rate", "")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    _steps(axes)
    return figure


def plot_recall(history: Rows, chance: Mapping[str, float] | None = None, theme: Theme = "light") -> "Figure":
    """Validation recall by epoch, a panel for each K, both directions in it, chance dashed.

    chance: figure name -> level; else the columns `validation/<figure>/chance` are read. Without recall among the
    validation columns the other figures between 0 and 1 are drawn, the first three.
    """
    from matplotlib.ticker import MaxNLocator

    panels = _panels(history)
    figure, all_axes = _canvas(theme, columns=max(1, len(panels)), top=0.92)
    colours = PALETTES[theme]
    for axes, (title, names) in zip(all_axes, panels.items(), strict=False):
        for name in names:
            x, y = _column(history, f"validation/{name}", "epoch")
            colour = colours.text if name.startswith("text_to_image") else colours.image
            axes.plot(x, 100 * y, color=colour, linewidth=1.8, marker="o", markersize=3.2)
            level = _chance(history, name, chance)
            if level is not None:
                axes.axhline(100 * level, color=colours.faint, linewidth=1, linestyle=(0, (4, 3)))
        _title(axes, title, "")
        axes.set_xlabel("epoch", fontsize=9, color=colours.faint)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.set_ylim(0, 102)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0f} %")
        if axes is not all_axes[0]:
            axes.tick_params(labelleft=False)
    _key(all_axes[0], (("image → text", colours.image), ("text → image", colours.text), ("╌╌ chance", colours.faint)))
    return figure


def plot_similarity(sim_BB: np.ndarray, theme: Theme = "light") -> "Figure":
    """Heat map of one batch: cosine of picture (row) and caption (column); true pairs lie on the diagonal."""
    figure, (axes,) = _canvas(theme, height=4.1)
    colours = PALETTES[theme]
    shown = axes.imshow(sim_BB, cmap=colours.heat, interpolation="nearest")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("caption", fontsize=9, color=colours.faint)
    axes.set_ylabel("picture", fontsize=9, color=colours.faint)
    bar = figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.03)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=9, labelcolor=colours.faint)
    diagonal = np.eye(len(sim_BB), sim_BB.shape[1], dtype=bool)
    others = f", others {sim_BB[~diagonal].mean():.2f}" if (~diagonal).any() else ""
    said = f"Cosine: pairs {sim_BB[diagonal].mean():.2f}{others} on average"
    _title(axes, said.replace("-", "\u2212"), "")
    return figure


def plot_map(image_ND: np.ndarray, text_ND: np.ndarray, theme: Theme = "light") -> "Figure":
    """Pictures and captions in one plane; row i of both is a pair, joined by a line, the shorter the better.

    The plane: each modality's own mean is taken off (else the gap between the two, Liang et al. 2022, would be all
    there is to see), then the first two principal components of both together.
    """
    image_N2, text_N2, explained = joint_plane(image_ND, text_ND)
    keep = np.random.default_rng(0).permutation(len(image_N2))[:MAP_PAIRS]
    figure, (axes,) = _canvas(theme, height=4.1, top=0.93)
    colours = PALETTES[theme]
    for start, end in zip(image_N2[keep], text_N2[keep], strict=True):
        axes.plot(*np.stack([start, end]).T, color=colours.faint, linewidth=0.6, alpha=0.45, zorder=1)
    for points, colour, marker in ((image_N2, colours.image, "o"), (text_N2, colours.text, "s")):
        axes.scatter(*points[keep].T, color=colour, marker=marker, s=15, linewidths=0, alpha=0.9, zorder=2)
    axes.set_aspect("equal", adjustable="datalim")
    axes.tick_params(labelbottom=False, labelleft=False)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    gap = float(np.linalg.norm(image_ND.mean(axis=0) - text_ND.mean(axis=0)))
    _title(axes, f"Two principal components, {100 * explained:.0f} % of the variance", "")
    axes.set_xlabel(f"each side's mean taken off; the means lie {gap:.2f} apart", fontsize=9, color=colours.faint)
    _key(axes, (("● pictures", colours.image), ("■ captions", colours.text)))
    return figure


def joint_plane(image_ND: np.ndarray, text_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Both sides on the first two principal components of their union, each side's mean taken off first.

    -> images (N, 2), texts (N, 2), the share of the variance that the two components hold
    """
    centred = np.concatenate([side - side.mean(axis=0) for side in (image_ND, text_ND)]).astype(np.float64)
    spread, axes_DD = np.linalg.eigh(centred.T @ centred)  # D x D: far smaller than N x D for a real N
    plane = centred @ axes_DD[:, :-3:-1]
    explained = spread[-2:].sum() / max(spread.sum(), 1e-12)
    return plane[: len(image_ND)], plane[len(image_ND) :], float(explained)


def png(figure: "Figure") -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return stream.getvalue()


def both_themes(draw: Draw) -> dict[Theme, bytes]:
    """One plot as PNG for light and for dark pages."""
    return {theme: png(draw(theme)) for theme in PALETTES}


def _canvas(theme: Theme, *, columns: int = 1, height: float = 3.2, top: float = 1.0) -> tuple["Figure", list["Axes"]]:
    """A figure with axes side by side; `top` is where they end, for a key above them."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    colours = PALETTES[theme]
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, top))
    figure = Figure(figsize=(4.8, height), facecolor=colours.paper, layout=layout)
    all_axes = figure.subplots(1, columns, squeeze=False).ravel().tolist()
    for axes in all_axes:
        axes.set_facecolor(colours.paper)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(colours.line)
        axes.tick_params(length=0, labelsize=9, labelcolor=colours.faint, pad=5)
        axes.grid(axis="y", color=colours.line, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.title.set_color(colours.ink)
    return figure, all_axes


def _title(axes: "Axes", text: str, unit: str) -> None:
    full = f"{text} ({unit})" if unit else text
    axes.set_title(full, loc="left", fontsize=10.5, weight="bold", color=axes.title.get_color(), pad=9)


def _key(axes: "Axes", entries: Sequence[tuple[str, str]]) -> None:
    """What the colours mean, above the whole figure, from the left edge of `axes` on."""
    for number, (label, colour) in enumerate(entries):
        note = axes.annotate(
            label,
            (0, 0.955),
            xycoords=("axes fraction", "figure fraction"),
            xytext=(92 * number, 0),
            textcoords="offset points",
            annotation_clip=False,
            color=colour,
            fontsize=9.5,
            weight="bold",
            va="center",
        )
        note.set_in_layout(False)


def _steps(axes: "Axes") -> None:
    axes.set_xlabel("step", fontsize=9, color=axes.xaxis.get_ticklabels()[0].get_color())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _column(history: Rows, name: str, against: str = "step") -> tuple[np.ndarray, np.ndarray]:
    pairs = [(row[against], row[name]) for row in history if name in row and against in row]
    pairs = [pair for pair in pairs if np.isfinite(pair).all()]
    x_N2 = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return x_N2[:, 0], x_N2[:, 1]


def _curve(
    axes: "Axes", x: np.ndarray, y: np.ndarray, colour: str, label: str, *, smooth: bool = True, marker: str = ""
) -> tuple[float, str, str] | None:
    """Draws one line, the raw one faint beneath its running mean when it is long. -> where it ends, for its label"""
    if not len(x):
        return None
    look: dict[str, Any] = {"color": colour, "linewidth": 1.9, "marker": marker or None, "markersize": 3.5}
    if smooth and len(x) >= 40 and not marker:
        axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.3)
        y = _running_mean(y, len(y) // 20)
    if len(x) == 1:
        look["marker"] = "o"
    axes.plot(x, y, **look)
    return float(y[-1]), label, colour


def _running_mean(y: np.ndarray, width: int) -> np.ndarray:
    """Mean over the window around each point, narrower at the ends, so that nothing is made up there."""
    total = np.concatenate([[0.0], np.cumsum(y)])
    at = np.arange(len(y))
    half = np.minimum(np.minimum(at, len(y) - 1 - at), width)
    return (total[at + half + 1] - total[at - half]) / (2 * half + 1)


def _label_ends(axes: "Axes", ends: Sequence[tuple[float, str, str] | None]) -> None:
    """Writes each line's name at its right end, pushed apart where they would touch."""
    found = sorted(end for end in ends if end is not None)
    if not found:
        return
    low, high = axes.get_ylim()
    apart, last = 0.085 * (high - low), -np.inf
    look = {"fontsize": 9, "va": "center", "annotation_clip": False}
    for value, label, colour in found:
        last = max(value, last + apart)
        axes.annotate(label, (1.015, last), xycoords=("axes fraction", "data"), color=colour, **look)


def _panels(history: Rows) -> dict[str, list[str]]:
    """Title -> figures to draw there."""
    columns = dict.fromkeys(name for row in history for name in row if name.startswith("validation/"))
    names = [name.removeprefix("validation/") for name in columns if not name.endswith("/chance")]
    panels: dict[str, list[str]] = {}
    for name in names:
        if "/R@" in name:
            panels.setdefault(name.rpartition("/")[2], []).append(name)
    if panels:
        return dict(sorted(panels.items(), key=lambda panel: int(panel[0][2:]))[:3])
    values = {name: _column(history, f"validation/{name}", "epoch")[1] for name in names}
    shares = [name for name, y in values.items() if len(y) and y.min() >= 0 and y.max() <= 1]
    return {figure_name(name): [name] for name in shares[:3]}


def _chance(history: Rows, name: str, chance: Mapping[str, float] | None) -> float | None:
    if chance is not None and name in chance:
        return chance[name]
    levels = [row[f"validation/{name}/chance"] for row in history if f"validation/{name}/chance" in row]
    return levels[-1] if levels else None
