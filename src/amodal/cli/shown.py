"""What verbs print: figures as a table on standard output, everything else on standard error."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amodal.core.progress import speaks

if TYPE_CHECKING:
    from amodal.audit import Measured
    from amodal.inference import Model
    from amodal.metrics import Figure
    from amodal.studies import Concluded


def say(line: str) -> None:
    """One line for the person, on standard error; of several processes the first one speaks."""
    if not speaks():
        return
    over_bar = "\r\x1b[2K" if sys.stderr.isatty() else ""  # a progress bar may stand there
    print(f"{over_bar}{line}", file=sys.stderr, flush=True)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object, the only thing on standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_figures(figures: "Mapping[str, Figure]") -> None:
    """A table: name, value with its 95 % interval, chance, number of items and of candidates."""
    from rich.console import Console
    from rich.table import Table

    from amodal.runs.wording import figure_interval, figure_name, figure_number

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("figure")
    for title in ("value", "95 % interval", "chance", "n", "candidates"):
        table.add_column(title, justify="right")
    for name, figure in figures.items():
        chance = "" if figure.chance is None else figure_number(name, figure.chance)
        value = figure_number(name, figure.value)
        table.add_row(
            figure_name(name),
            value,
            figure_interval(name, figure),
            chance,
            f"{figure.n:,}",
            f"{figure.candidates or ''}",
        )
    Console().print(table)


def open_model(model: str, device: str, calibration: Path | None = None) -> "Model":
    """The model of --model, which is named to the person."""
    import amodal

    loaded = amodal.load(model or None, device=device, calibration=calibration)
    say(f"model: {loaded.name}")
    return loaded


def print_study(done: "Concluded") -> None:
    """What a study found: its table, then each check, then the verdict."""
    from rich.console import Console
    from rich.table import Table

    from amodal.studies.report import CHECKS, check_cells, tables

    console = Console()
    checks = [check_cells(check) for check in done.findings.checks]
    for head, rows in (*tables(done.findings), (CHECKS, checks)):
        table = Table(box=None, pad_edge=False, header_style="bold")
        for number, title in enumerate(head):
            table.add_column(title, justify="left" if number == 0 or head is CHECKS else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table, end="\n\n")
    for note in done.findings.notes:
        console.print(note, highlight=False)
    console.print(f"claim: {done.study.claim}\nverdict: {done.verdict}", highlight=False)


def print_limits(measured: "Measured") -> None:
    """What models can tell and cannot, a column a model."""
    from rich.console import Console
    from rich.table import Table

    from amodal.audit import CHANCE, shown_figure, told

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("limit")
    table.add_column("trials", justify="right")
    table.add_column("chance", justify="right")
    for name in measured.figures:
        table.add_column(name)
    for limit in measured.limits:
        figures = (found[limit.name] for found in measured.figures.values())
        cells = (f"{shown_figure(figure)} {told(figure)}" for figure in figures)
        table.add_row(limit.title, f"{len(measured.trials[limit.name]):,}", f"{CHANCE:.2f}", *cells)
    console = Console()
    console.print(table)
    console.print("share of trials in which the true sentence fits better, with its 95 % interval", highlight=False)
