"""limits.html: what models can tell and cannot, side by side, with a picture for each; needs no network."""

from collections.abc import Sequence
from datetime import datetime
from html import escape
from pathlib import Path

from amodal.audit.limits import Measured, told
from amodal.audit.trials import CHANCE, Limit, Trial
from amodal.core.files import atomic_write
from amodal.data.bundled import ATTRIBUTION
from amodal.metrics import Figure
from amodal.runs import Thumbnails, html_page, shown_caption

_TITLES = {"scenes": "Scenes", "bundled": "Single pictures"}
_BADGES = {"told": "note", "not told": "warning", "reversed": "problem", "too few": "note"}
_EXAMPLES = 4
_NOTE = (
    '<p class="note">Each picture comes with a true sentence and a false one. A figure is the share of trials in which '
    "the true one fits the picture better, with its 95 % interval; chance is 0.50. Where only the order of the words "
    "tells the two apart, a model that reads a bag of words stays at chance.</p>"
)


def write_limits_page(path: Path, measured: Measured) -> Path:
    """Writes the page. -> path"""
    when = datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z").strip()
    names = " and ".join(measured.figures)
    page = html_page(
        title=f"{names} · amodal audit limits",
        name=f"Limits of {names}",
        when=f"amodal audit limits · {when}",
        headline=limits_headline(measured),
        sections=[
            _NOTE,
            *(_table(measured, source) for source in _TITLES),
            "<h2>Examples</h2>",
            *(_examples(limit, measured.trials[limit.name][:_EXAMPLES]) for limit in measured.limits),
        ],
        notes=[ATTRIBUTION],
    )
    atomic_write(path, page)
    return path


def limits_headline(measured: Measured) -> str:
    """What each model cannot tell, in a sentence each."""
    said = []
    for model, figures in measured.figures.items():
        names: dict[str, list[str]] = {word: [] for word in _BADGES}
        for limit in measured.limits:
            names[told(figures[limit.name])].append(limit.title.lower())
        if lost := names["not told"] + names["reversed"]:
            said.append(f"{model} does not tell: {', '.join(lost)}.")
        if few := names["too few"]:
            said.append(f"Too few trials to say what {model} tells of: {', '.join(few)}.")
        if not lost and not few:
            said.append(f"{model} tells all of them.")
    return " ".join(said)


def shown_figure(figure: Figure) -> str:
    """ "0.52 (0.47 to 0.57)"."""
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


def _table(measured: Measured, source: str) -> str:
    limits = [limit for limit in measured.limits if limit.source == source]
    models = "".join(f'<th class="number">{escape(model)}</th>' for model in measured.figures)
    body = "".join(_line(limit, measured) for limit in limits)
    return (
        f'<h2>{_TITLES[source]}</h2><div class="card wide"><table><thead><tr><th>limit</th><th>the false sentence</th>'
        f'<th class="number">trials</th><th class="number">chance</th>{models}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _line(limit: Limit, measured: Measured) -> str:
    figures = [found[limit.name] for found in measured.figures.values()]
    cells = "".join(
        f'<td class="number">{shown_figure(figure)} '
        f'<span class="badge {_BADGES[told(figure)]}">{told(figure)}</span></td>'
        for figure in figures
    )
    order = " (order only)" if limit.order_only else ""
    count = f'<td class="number">{len(measured.trials[limit.name]):,}</td><td class="number">{CHANCE:.2f}</td>'
    return f"<tr><td>{escape(limit.title)}</td><td>{escape(limit.asks)}{order}</td>{count}{cells}</tr>"


def _examples(limit: Limit, trials: Sequence[Trial]) -> str:
    made = Thumbnails(lambda index: trials[index].picture)
    shots = "".join(_shot(index, trial, made) for index, trial in enumerate(trials))
    return f'<h3>{escape(limit.title)}</h3>\n<div class="card"><div class="strip">{shots}</div></div>'


def _shot(index: int, trial: Trial, made: Thumbnails) -> str:
    lines = "".join(
        f'<p class="says" dir="auto"><span class="mark {side}" role="img" aria-label="{word}">{sign}</span> '
        f"{shown_caption(text)}</p>"
        for side, word, sign, text in (("right", "true", "✓", trial.true), ("wrong", "false", "✗", trial.false))
    )
    return f"<div>{made.tag(index, trial.true)}{lines}</div>"
