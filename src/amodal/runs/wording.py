"""How a figure is said to people: its name in words, its value with its unit, the one sentence of a report."""

from collections.abc import Mapping

from amodal.metrics import Figure

PER_CENT = "\u00a0%"  # the space does not break
SHARES = ("R@", "top-", "mean_per_class", "accuracy", "recall", "precision", "exact", "refused", "lost", "gain")
DIRECTIONS = {"image_to_text": "image → text", "text_to_image": "text → image", "zero_shot": "zero-shot"}
HEADLINES = ("image_to_text/R@1", "zero_shot/top-1", "text_to_image/R@1", "image_to_text/R@5", "text_to_image/R@5")


def is_share(name: str) -> bool:
    """Whether a figure is a share of its items, said in per cent."""
    return any(part.startswith(SHARES) for part in name.split("/"))


def figure_name(name: str) -> str:
    """`image_to_text/R@1` -> "image → text, R@1"."""
    return ", ".join(DIRECTIONS.get(part, part.replace("_", " ")) for part in name.split("/"))


def figure_number(name: str, value: float) -> str:
    """A value with as many digits as mean something: a share in per cent, anything else with three digits."""
    if not is_share(name):
        return f"{value:.3g}"
    return f"{100 * value:.1f}{PER_CENT}" if value >= 0.01 or value == 0 else f"{100 * value:.2g}{PER_CENT}"


def figure_interval(name: str, figure: Figure) -> str:
    """The bounds of the 95 % interval, the unit said once."""
    low, high = (figure_number(name, bound) for bound in (figure.low, figure.high))
    return f"{low.removesuffix(PER_CENT)} to {high}"


def headline(figures: Mapping[str, Figure]) -> str:
    """One sentence that says how the run came out, chance beside it; an empty run says so."""
    name = next((each for each in HEADLINES if each in figures), next(iter(figures), None))
    if name is None:
        return "This run has no figures yet."
    figure = figures[name]
    sentence = {
        "image_to_text/R@1": "For {value} of pictures, the first caption found is the right one",
        "text_to_image/R@1": "For {value} of captions, the first picture found is the right one",
        "zero_shot/top-1": "{value} of pictures get the right label, without a trained classifier",
    }.get(name, f"{figure_name(name)} is {{value}}")
    said = sentence.format(value=figure_number(name, figure.value))
    beside = [f"n = {figure.n:,}", f"95{PER_CENT} interval {figure_interval(name, figure)}"]
    if figure.candidates is not None:
        beside.append(f"among {figure.candidates:,} candidates")
    if figure.chance is not None:
        beside.append(f"chance {figure_number(name, figure.chance)}")
    return f"{said} ({'; '.join(beside)})."
