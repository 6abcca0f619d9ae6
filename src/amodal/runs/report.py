"""The report of a run: one HTML page with its pictures and plots inside; no network, no script."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

import numpy as np

from amodal.core.files import atomic_write
from amodal.metrics import Figure
from amodal.runs import plots
from amodal.runs.card import RunCard
from amodal.runs.findings import Finding
from amodal.runs.folder import RunFolder
from amodal.runs.gallery import data_uri, retrieval_sections
from amodal.runs.page import html_page, html_table
from amodal.runs.retrievals import Examples
from amodal.runs.wording import PER_CENT, figure_interval, figure_name, figure_number, headline

SHOWN_SKIPPED = 50
SHOWN_CLASSES = 12
MATRIX_CLASSES = 16
"""Up to so many classes the whole confusion matrix is readable; beyond, its largest entries are told."""

BATCH_SHOWN = 32


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """What pictures of each class were taken for: counts[i, j] pictures of class i were called class j."""

    classes: Sequence[str]
    counts: np.ndarray

    def __post_init__(self) -> None:
        if self.counts.shape != (len(self.classes), len(self.classes)):
            raise ValueError(f"{len(self.classes)} classes need as many rows and columns, not {self.counts.shape}")


def write_report(
    folder: RunFolder,
    card: RunCard,
    figures: Mapping[str, Figure],
    history: Sequence[Mapping[str, float]],
    examples: Examples | None = None,
    skipped: Sequence[tuple[str, str]] = (),
    attribution: str = "",
    confusion: Confusion | None = None,
    findings: Sequence[Finding] | None = None,
) -> None:
    """Writes report.html and, beside it, the plots as PNG.

    history: rows as `History.read` gives them; skipped: (where, why) of inputs that were left out; attribution: source
    and licence of the pictures shown; findings: what the diagnosis saw, None where it did not look. What is absent or
    empty is left out of the page.
    """
    sections = [_figures(figures), _diagnosis(findings, history), _curves(folder, history)]
    if examples is not None and len(examples.captions) and len(examples.image_features):
        sections += [retrieval_sections(examples), _space(folder, examples)]
    if confusion is not None:
        sections.append(_confusion(confusion))
    sections += [_skipped(skipped), _card(card)]
    page = html_page(
        title=f"{card.name} · amodal",
        name=card.name,
        when=_when(card),
        headline=headline(figures),
        sections=sections,
        notes=[attribution, f"Written by amodal {card.versions.get('amodal', '')}"],
    )
    atomic_write(folder.report, page)


def _when(card: RunCard) -> str:
    try:
        date = datetime.fromisoformat(card.created).strftime("%d %B %Y, %H:%M %Z").strip()
    except ValueError:
        date = card.created
    return f"{date} · {card.data}"


def _figures(figures: Mapping[str, Figure]) -> str:
    if not figures:
        return ""
    head = "".join(
        f"<th{side}>{name}</th>"
        for name, side in (
            ("figure", ""),
            ("value", ' class="number"'),
            ('<span class="faint">0 to 100 %</span>', ""),
            ("95 % interval", ' class="number"'),
            ("chance", ' class="number"'),
            ("n", ' class="number"'),
            ("candidates", ' class="number"'),
        )
    )
    rows = "".join(_figure_row(name, figure) for name, figure in figures.items())
    return (
        "<h2>Figures</h2>\n"
        '<p class="note">The dark line in a bar is the 95 % interval, the red line is what chance would give.</p>\n'
        f'<div class="card"><table class="figures"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _figure_row(name: str, figure: Figure) -> str:
    details = {
        "interval": figure_interval(name, figure),
        "chance": "" if figure.chance is None else figure_number(name, figure.chance),
        "n": f"{figure.n:,}",
        "candidates": "" if figure.candidates is None else f"{figure.candidates:,}",
    }
    cells = "".join(
        f'<td class="number detail" data-label="{label}">{escape(text)}</td>' for label, text in details.items()
    )
    return (
        f'<tr><th scope="row">{escape(figure_name(name))}</th>'
        f'<td class="number value">{escape(figure_number(name, figure.value))}</td>'
        f'<td class="chart">{_bar(figure)}</td>{cells}</tr>'
    )


def _bar(figure: Figure) -> str:
    """Value, interval and chance on the way from 0 to 1; nothing for a figure that lies elsewhere."""
    if not (0 <= figure.low <= figure.high <= 1 and 0 <= figure.value <= 1):
        return ""
    value, low, high = (100 * bound for bound in (figure.value, figure.low, figure.high))
    chance = "" if figure.chance is None else f'<span class="chance" style="left:{100 * figure.chance:.2f}%"></span>'
    return (
        f'<div class="bar" aria-hidden="true"><span class="fill" style="width:{value:.2f}%"></span>'
        f'<span class="span" style="left:{low:.2f}%;width:{high - low:.2f}%"></span>{chance}</div>'
    )


def _diagnosis(findings: Sequence[Finding] | None, history: Sequence[Mapping[str, float]]) -> str:
    if findings is None:
        return ""
    steps = f" in {int(history[-1]['step']):,} steps" if history else ""
    if not findings:
        return f'<h2>Diagnosis</h2>\n<p class="note">Nothing wrong was seen{steps} of training.</p>'
    rows = "".join(
        f'<li><p class="query">{escape(each.name.capitalize())} <span class="badge {each.severity}">{each.severity}'
        f'</span> <span class="score">{escape(each.when)}</span></p><p>{escape(each.says)}</p></li>'
        for each in findings
    )
    said = f"Seen{steps} of training, the gravest first." if len(findings) > 1 else f"Seen{steps} of training."
    return f'<h2>Diagnosis</h2>\n<p class="note">{said}</p>\n<ul class="card findings">{rows}</ul>'


def _curves(folder: RunFolder, history: Sequence[Mapping[str, float]]) -> str:
    drawn = []
    columns = {name for row in history for name in row}
    if "loss" in columns:
        said = " ".join(says for name, says in LOSS_SAYS.items() if name in columns)
        drawn.append(_plot(folder, "loss", lambda theme: plots.plot_loss(history, theme), said))
    if any(name.startswith("validation/") and "loss" not in name for name in columns):
        drawn.append(_plot(folder, "recall", lambda theme: plots.plot_recall(history, theme=theme), RECALL_SAYS))
    if "learning_rate" in columns:
        drawn.append(_plot(folder, "learning_rate", lambda theme: plots.plot_learning_rate(history, theme), RATE_SAYS))
    if "logit_scale" in columns:
        drawn.append(_plot(folder, "scale", lambda theme: plots.plot_scale(history, theme), SCALE_SAYS))
    return f'<h2>Training</h2>\n<div class="pair">{"".join(drawn)}</div>' if drawn else ""


LOSS_SAYS = {
    "loss": "What training makes small.",
    "bound": "The bound is ln(batch) less the loss.",
    "chance": "A loss that stays at chance, the dashed line, has learnt nothing.",
}
RECALL_SAYS = "Share of validation queries whose match is among the first K found."
SCALE_SAYS = "The inverse temperature that the model learnt."
RATE_SAYS = "The schedule as it was run."
SIMILARITY_SAYS = "Each row a picture, each column a caption. True pairs lie on the diagonal."
MAP_SAYS = "A line joins a picture and its caption: short lines are pairs that the model puts together."


def _space(folder: RunFolder, examples: Examples) -> str:
    image, text = examples.pairs()
    if len(image) < 3:
        return ""
    image_ND, text_ND = examples.image_features[image], examples.text_features[text]
    sim_BB = image_ND[:BATCH_SHOWN] @ text_ND[:BATCH_SHOWN].T
    drawn = [
        _plot(folder, "similarity", lambda theme: plots.plot_similarity(sim_BB, theme), SIMILARITY_SAYS),
        _plot(folder, "map", lambda theme: plots.plot_map(image_ND, text_ND, theme), MAP_SAYS),
    ]
    return f'<h2>The shared space</h2>\n<div class="pair">{"".join(drawn)}</div>'


def _plot(folder: RunFolder, name: str, draw: plots.Draw, says: str) -> str:
    """A plot in both themes; the page shows the one that fits, plots/NAME.png is the light one."""
    made = plots.both_themes(draw)
    atomic_write(folder.plots / f"{name}.png", made["light"])
    return (
        '<figure class="card"><picture>'
        f'<source media="(prefers-color-scheme: dark)" srcset="{data_uri(made["dark"], "png")}">'
        f'<img src="{data_uri(made["light"], "png")}" alt="plot: {escape(name)}. {escape(says)}"></picture>'
        f"<figcaption>{escape(says)}</figcaption></figure>"
    )


def _confusion(confusion: Confusion) -> str:
    counts_CC, names = confusion.counts, confusion.classes
    total_C = counts_CC.sum(axis=1)
    right_C = counts_CC.diagonal() / np.maximum(total_C, 1)
    order = [int(each) for each in np.argsort(right_C, kind="stable") if total_C[each]][:SHOWN_CLASSES]
    classes = [(names[each], f"{100 * right_C[each]:.0f}{PER_CENT}", f"{int(total_C[each]):,}") for each in order]
    wrong_CC = counts_CC * (1 - np.eye(len(names), dtype=counts_CC.dtype))
    largest = np.argsort(-wrong_CC, axis=None, kind="stable")[:SHOWN_CLASSES]
    cells = [divmod(int(each), len(names)) for each in largest]
    mixed = [(names[i], names[j], f"{int(wrong_CC[i, j]):,}") for i, j in cells if wrong_CC[i, j]]
    matrix = _matrix(confusion) if len(names) <= MATRIX_CLASSES else ""
    hardest = html_table(("class", "right", "pictures"), classes)
    confused = html_table(("is", "was called", "times"), mixed)
    return (
        f'<h2>Classes</h2>\n<p class="note">{len(names):,} classes.</p>{matrix}<div class="pair">'
        f'<div class="card wide"><h3>Hardest</h3>{hardest}</div>'
        f'<div class="card wide"><h3>Most often mixed up</h3>{confused}</div></div>'
    )


def _matrix(confusion: Confusion) -> str:
    share_CC = confusion.counts / np.maximum(confusion.counts.sum(axis=1, keepdims=True), 1)
    head = "".join(f"<th>{escape(name)}</th>" for name in confusion.classes)
    rows = []
    for name, shares, counts in zip(confusion.classes, share_CC, confusion.counts, strict=True):
        cells = "".join(
            f'<td style="background:color-mix(in srgb, var(--accent) {60 * share:.0f}%, transparent)">'
            f"{int(count) if count else ''}</td>"
            for share, count in zip(shares, counts, strict=True)
        )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    says = '<p class="note">Row: what it is. Column: what it was called.</p>'
    body = f'<table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="card wide" style="margin-bottom:16px">{says}{body}</div>'


def _skipped(skipped: Sequence[tuple[str, str]]) -> str:
    if not skipped:
        return ""
    kinds = Counter(reason.partition(": ")[0] for _, reason in skipped)
    counted = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common())
    more = len(skipped) - SHOWN_SKIPPED
    rest = f'<p class="note">and {more:,} more: skipped.json names them all.</p>' if more > 0 else ""
    return (
        f'<h2>Inputs left out</h2>\n<p class="note">{len(skipped):,} in all: {escape(counted)}.</p>'
        f'<div class="card wide">{html_table(("where", "why"), skipped[:SHOWN_SKIPPED])}{rest}</div>'
    )


def _card(card: RunCard) -> str:
    facts = "".join(
        f"<section><h3>{escape(title)}</h3><dl>"
        + "".join(f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>" for what, value in rows)
        + "</dl></section>"
        for title, rows in card.sections().items()
    )
    licences = "".join(f'<p class="faint">{escape(each)}</p>' for each in card.licences)
    return (
        f'<h2>Run card</h2>\n<p class="note">To make it again:</p><pre>{escape(card.command)}</pre>'
        f'<div class="card"><div class="facts">{facts}</div>{licences}</div>'
    )
