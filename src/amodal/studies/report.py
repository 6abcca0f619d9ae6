"""What a study leaves for people: report.html, which needs nothing beside it, report.md and plot.png."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from amodal import __version__
from amodal.core.files import atomic_write
from amodal.runs.curves import plot_chart
from amodal.runs.gallery import data_uri
from amodal.runs.page import html_page
from amodal.runs.plots import both_themes
from amodal.studies.study import Check, Findings, Row, Study, Verdict
from amodal.studies.wording import interval, number, wanted

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
CHECKS = ("what", "found (95 % interval)", "the claim asks", "so it")


def write_study_report(
    out: Path, study: type[Study], findings: Findings, verdict: Verdict, about: Mapping[str, str]
) -> None:
    """Writes the three files. about: how it was run."""
    drawn = both_themes(lambda theme: plot_chart(findings.chart, theme))
    atomic_write(out / "plot.png", drawn["light"])
    checks = [check_cells(check) for check in findings.checks]
    measured = tables(findings)
    atomic_write(out / "report.md", _markdown(study, findings, verdict, about, checks, measured))
    picture = (
        '<figure class="card"><picture>'
        f'<source media="(prefers-color-scheme: dark)" srcset="{data_uri(drawn["dark"], "png")}">'
        f'<img src="{data_uri(drawn["light"], "png")}" alt="plot: {escape(findings.chart.title)}"></picture></figure>'
    )
    notes = "".join(f'<p style="margin-top: 14px">{escape(note)}</p>' for note in findings.notes)
    facts = "".join(f"<dt>{escape(what)}</dt><dd>{escape(said)}</dd>" for what, said in about.items())
    sections = [
        f"<h2>Rule</h2><p>{escape(study.rule)}</p>{_table(CHECKS, checks)}",
        f"<h2>Measured</h2>{picture}{notes}{''.join(_table(*each) for each in measured)}",
        f'<h2>How</h2><p>{escape(study.method)}</p><div class="card"><div class="facts"><dl>{facts}</dl></div></div>',
    ]
    atomic_write(
        out / "report.html",
        html_page(
            title=f"{study.name} · amodal",
            name=f"Study: {study.name}",
            when=study.claim,
            headline=f"The claim {verdict if verdict != 'undecided' else 'is undecided'}.",
            sections=sections,
            notes=[f"Written by amodal {__version__}"],
        ),
    )


def check_cells(check: Check) -> tuple[str, str, str, str]:
    """One check in words, in the order of `CHECKS`."""
    return check.says, interval(check.found, check.unit, signed=check.unit == "points"), wanted(check), check.verdict


def tables(findings: Findings) -> list[Table]:
    """The figures that are shown, in words, a table each: its head and its lines; result.json has those of all."""
    shown = findings.shown or tuple(row.figure for row in findings.rows[:1])
    compared = (f"difference to {findings.against}",) if findings.against else ()
    told = []
    for figure in shown:
        head = ("setting", figure, "seeds from, to", *compared)
        told.append((head, [_cells(row)[: len(head)] for row in findings.rows if row.figure == figure]))
    return told


def _cells(row: Row) -> tuple[str, ...]:
    unit = "points" if row.unit == "%" else row.unit
    compared = "" if row.difference is None else interval(row.difference, unit, signed=True)
    spread = f"{number(min(row.values), row.unit)}, {number(max(row.values), row.unit)}"
    return row.setting, number(row.mean, row.unit), spread, compared


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="card wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _markdown(
    study: type[Study],
    findings: Findings,
    verdict: Verdict,
    about: Mapping[str, str],
    checks: Sequence[Sequence[str]],
    measured: Sequence[Table],
) -> str:
    parts = [f"# Study: {study.name}", f"Claim: {study.claim}", f"**Verdict: {verdict}**", f"Rule: {study.rule}"]
    parts += [_lines(CHECKS, checks), "![plot](plot.png)", *findings.notes]
    parts += [*(_lines(*each) for each in measured), study.method]
    parts += ["\n".join(f"- {what}: {said}" for what, said in about.items())]
    return "\n\n".join(parts) + "\n"


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
