"""A grounding as a picture: boxes of its phrases on the photograph, beside it a heat map for each word that means
things."""

from pathlib import Path

import numpy as np
from PIL import Image

from amodal.core.files import atomic_path
from amodal.evaluation.grounding import enlarged
from amodal.inference.grounding import Grounding

COLOURS = ("#e4572e", "#1b9aaa", "#8f5bd6", "#c98a00", "#2e8b57", "#d1478c")
MOST_MAPS = 8
_DOTS_PER_INCH = 150


def draw_grounding(grounding: Grounding, picture: Image.Image, out: Path) -> None:
    """Writes the picture of a grounding as PNG, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    words = [word for word in grounding.words if word.means > 0.5][:MOST_MAPS]
    columns = 1 + len(words)
    height = 3.0 * picture.height / picture.width
    figure = Figure(figsize=(3.0 * columns, height + 0.7), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    _boxes(axes[0], grounding, picture)
    grey_HW = np.asarray(picture.convert("L"))
    for place, word in zip(axes[1:], words, strict=True):
        place.imshow(grey_HW, cmap="gray", vmin=-120, vmax=300)
        map_HW = enlarged(word.map_GG, grey_HW.shape).clip(0, 1)
        place.imshow(map_HW, cmap="inferno", vmin=0, vmax=1, alpha=0.15 + 0.7 * map_HW)
        place.set_title(f"{word.text}  {word.map_GG.max():.0%}", fontsize=10)
        place.set_axis_off()
    fits = "" if grounding.probability is None else f"   fits: {grounding.probability:.0%}"
    figure.suptitle(f"{grounding.sentence}{fits}", fontsize=11)
    with atomic_path(out) as part:
        figure.savefig(part, format="png")


def _boxes(axes, grounding: Grounding, picture: Image.Image) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(picture)
    axes.set_axis_off()
    for number, phrase in enumerate(grounding.phrases):
        colour = COLOURS[number % len(COLOURS)]
        left, top, right, bottom = phrase.box
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=2))
        label = {"boxstyle": "square,pad=0.2", "facecolor": colour, "edgecolor": "none"}
        at, side = ((top, "top"), (bottom, "bottom"))[number % 2]  # boxes that cover each other keep both names
        axes.text(left, at, phrase.text, fontsize=8, color="white", va=side, bbox=label)
