"""doctor.html: what was found, with the pictures, in one page that needs no network."""

from datetime import datetime
from html import escape
from pathlib import Path

from amodal.audit.findings import Case, Examination, Finding
from amodal.audit.wording import facts, headline, number
from amodal.core.files import atomic_write
from amodal.data.bundled import ATTRIBUTION
from amodal.data.rows import Table
from amodal.data.sources import BUNDLED
from amodal.runs import Thumbnails, html_page, html_table, shown_caption

CASES_SHOWN = 12
PICTURES_A_CASE = 4
THUMBNAIL_PIXELS = 96


def write_page(path: Path, table: Table, found: Examination) -> Path:
    """Writes what was found in `table` as one page; the first cases of each finding are shown. -> path"""
    made = Thumbnails(lambda row: table.rows[row].picture.image(THUMBNAIL_PIXELS))
    when = datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z").strip()
    page = html_page(
        title=f"{found.name} · amodal doctor",
        name=found.name,
        when=f"amodal doctor · {when}",
        headline=headline(found),
        sections=[_overview(found), _batches(found), *(_finding(each, table, made) for each in found.findings)],
        notes=[ATTRIBUTION if found.name == BUNDLED else ""],
    )
    atomic_write(path, page)
    return path


def _overview(found: Examination) -> str:
    known = "".join(f"<li>{escape(fact)}</li>" for fact in facts(found)[: -1 if found.false_negatives else None])
    rows = [(_badge(each), escape(each.title), f"{len(each.cases):,}") for each in found.findings]
    listed = "".join(
        f'<tr><td>{badge}</td><td>{title}</td><td class="number">{count}</td></tr>' for badge, title, count in rows
    )
    table = f'<div class="card wide"><table><tbody>{listed}</tbody></table></div>' if rows else ""
    return f'<h2>At a glance</h2>\n<ul class="facts-list">{known}</ul>{table}'


def _batches(found: Examination) -> str:
    if not found.false_negatives:
        return ""
    rows = [
        (f"{each.batch:,}", number(each.left), number(each.left / each.batch), number(each.blind))
        for each in found.false_negatives
    ]
    return (
        '<h2>False negatives in a batch</h2>\n<p class="note">A picture and the caption of another row belong '
        "together when the rows share their picture, their pair or that caption. Those of one pair are known; others "
        "that meet in a batch are pushed apart. Exact averages over random batches of the training rows.</p>"
        '<div class="card wide">'
        + html_table(("batch", "false negatives", "of each row", "without knowing pairs"), rows)
        + "</div>"
    )


def _finding(finding: Finding, table: Table, made: Thumbnails) -> str:
    shown = finding.cases[:CASES_SHOWN]
    if any(case.rows for case in shown) and finding.kind != "broken":
        body = f'<div class="grid">{"".join(_case(case, table, made) for case in shown)}</div>'
    else:
        rows = [(", ".join(case.keys), case.note) for case in shown]
        body = f'<div class="card wide">{html_table(("where", "why"), rows)}</div>'
    more = len(finding.cases) - len(shown)
    rest = f'<p class="note">and {more:,} more; --json names them all.</p>' if more > 0 else ""
    return (
        f"<h2>{_badge(finding)} {escape(finding.title)}</h2>\n"
        f'<p class="note">{escape(finding.said)} {escape(finding.advice)}</p>{body}{rest}'
    )


def _case(case: Case, table: Table, made: Thumbnails) -> str:
    """A card: the pictures beside each other, each with its key, split and first caption."""
    shots = []
    for key, row in list(zip(case.keys, case.rows, strict=True))[:PICTURES_A_CASE]:
        caption, split = table.rows[row].captions[0], table.rows[row].attributes.get("split", "")
        shots.append(
            f'<div>{made.tag(row, caption)}<p class="key">{escape(key)}{escape(f" · {split}" if split else "")}</p>'
            f'<p class="says" dir="auto">{shown_caption(caption)}</p></div>'
        )
    more = len(case.rows) - PICTURES_A_CASE
    note = shown_caption(case.note) + (f" · and {more:,} more" if more > 0 else "")
    strip = f'<div class="strip">{"".join(shots)}</div>'
    return f'<article class="card"><p class="query" dir="auto">{note}</p>{strip}</article>'


def _badge(finding: Finding) -> str:
    return f'<span class="badge {finding.severity}">{finding.severity}</span>'
