"""amodal doctor: what is wrong with a source, before anything is trained on it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from amodal.cli.shown import print_json, say

if TYPE_CHECKING:
    from amodal.audit import Case, Examination

SHOWN = 3
FEW_PICTURES = 2000
"""Up to so many pictures are read before worker processes would have started."""


def doctor(
    data: str = typer.Argument(help="A caption table, a folder of pictures, shards, or `bundled`."),
    out: Path = typer.Option(Path("doctor"), help="The folder that gets doctor.html."),
    model: str = typer.Option(
        "", help="A run folder or any CLIP-like model: ranks the pairs that it doubts, and counts in its tokens."
    ),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps; for --model."),
    as_json: bool = typer.Option(False, "--json", help="Print everything as one JSON object."),
) -> None:
    """Looks for duplicates, leaks between splits, broken files, captions that are cut, and more, before training.

    amodal doctor photos.csv
    """
    import amodal
    from amodal.audit import examine, write_page
    from amodal.data.sources import open_pictures

    table = open_pictures(data, max_skipped=1.0)
    loaded = amodal.load(model, device=device) if model else None
    workers = 0 if len(table) <= FEW_PICTURES else os.cpu_count() or 1
    found = examine(table, model=loaded, workers=workers)
    page = write_page(out / "doctor.html", table, found)
    if as_json:
        print_json(found.to_json())
    else:
        print("\n".join(_lines(found)))
    say(f"report: {page}")


def _lines(found: "Examination") -> list[str]:
    """The examination in a few lines."""
    from amodal.audit import facts, headline

    lines = [headline(found), *facts(found)]
    for finding in found.findings:
        lines += ["", f"{finding.severity.upper()}  {finding.title}: {finding.said}"]
        lines += [f"  {_case_line(case)}" for case in finding.cases[:SHOWN]]
        if len(finding.cases) > SHOWN:
            lines.append(f"  and {len(finding.cases) - SHOWN:,} more")
        lines.append(f"  → {finding.advice}")
    return lines


def _case_line(case: "Case") -> str:
    keys = ", ".join(case.keys[:SHOWN]) + (f" and {len(case.keys) - SHOWN:,} more" if len(case.keys) > SHOWN else "")
    note = " ".join(case.note.split())
    return f"{keys}: {note if len(note) <= 120 else note[:119] + '…'}"
