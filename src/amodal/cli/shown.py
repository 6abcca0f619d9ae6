"""What verbs print: figures as a table on standard output, everything else on standard error."""

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amodal.metrics import Figure


def say(line: str) -> None:
    """One line for the person, on standard error; of several processes the first one speaks."""
    if os.environ.get("RANK", "0") != "0":
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
