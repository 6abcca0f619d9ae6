"""The run card: what somebody needs to judge a run or to make it again, for programs and for people."""

import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from amodal import __version__
from amodal.core.errors import RunError
from amodal.core.files import atomic_write
from amodal.core.progress import clock
from amodal.metrics import Figure
from amodal.runs.findings import Finding
from amodal.runs.folder import RunFolder, read_json, write_json
from amodal.runs.wording import PER_CENT, figure_interval, figure_name, figure_number

PACKAGES = ("torch", "timm", "transformers")


@dataclass(frozen=True, kw_only=True)
class RunCard:
    """Everything that is said of a run.

    command: what makes it again; created: ISO 8601 with its zone; splits: rows per split; towers: what each is ->
    its fingerprint; timings: what -> seconds; skipped: inputs left out; licences: licence and source of data that the
    folder shows; findings: what the diagnosis saw in training.
    """

    name: str
    command: str
    created: str
    data: str
    data_fingerprint: str
    splits: Mapping[str, int]
    seeds: Mapping[str, int]
    versions: Mapping[str, str]
    towers: Mapping[str, str]
    trainable_parameters: int
    total_parameters: int
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    prompt_templates: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    skipped: int = 0
    licences: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    calibration: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary with every field."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "RunCard":
        """The card that `to_json` gave. Raises RunError for a dictionary that lacks a field or has another."""
        plain = dict(value)
        try:
            plain["figures"] = {name: Figure(**each) for name, each in plain.get("figures", {}).items()}
            for name in ("prompt_templates", "licences"):
                plain[name] = tuple(plain.get(name, ()))
            plain["findings"] = tuple(Finding(**each) for each in plain.get("findings", ()))
            return cls(**plain)
        except TypeError as error:
            known = ", ".join(each.name for each in fields(cls))
            raise RunError(f"this is not a run card ({error}); a card has the fields {known}") from error

    def to_markdown(self) -> str:
        """The card for people: one heading, then a table a subject."""
        parts = [f"# {self.name}", f"Made {self.created}. To make it again:", f"```\n{self.command}\n```"]
        if self.figures:
            parts += ["## Figures", _figures_table(self.figures)]
        if self.findings:
            rows = [(each.name, each.when, each.says) for each in self.findings]
            parts += ["## Diagnosis", _table(("seen", "when", "evidence and what to try"), rows)]
        for title, rows in self.sections().items():
            parts += [f"## {title}", _table(("", ""), rows)]
        if self.licences:
            parts += ["## Licences", "\n".join(f"- {_cell(each)}" for each in self.licences)]
        return "\n\n".join(parts) + "\n"

    def sections(self) -> dict[str, list[tuple[str, str]]]:
        """Title -> rows of (what, value) as text, for the card and for the report; empty subjects are left out."""
        share = self.trainable_parameters / max(self.total_parameters, 1)
        sections = {
            "Data": [("set", self.data), ("fingerprint", self.data_fingerprint)]
            + [(f"rows, {name}", f"{count:,}") for name, count in self.splits.items()]
            + [("inputs left out", f"{self.skipped:,}")],
            "Model": [(name, fingerprint) for name, fingerprint in self.towers.items()]
            + [("parameters", f"{self.total_parameters:,}")]
            + [("of them trained", f"{self.trainable_parameters:,} ({100 * share:.1f}{PER_CENT})")],
            "Preprocessing": _rows(self.preprocessing),
            "Prompt templates": [(str(number), text) for number, text in enumerate(self.prompt_templates, start=1)],
            "Seeds": _rows(self.seeds),
            "Calibration": _rows(self.calibration),
            "Time": [(what, clock(seconds)) for what, seconds in self.timings.items()],
            "Versions": _rows(self.versions),
        }
        return {title: rows for title, rows in sections.items() if rows}

    def write(self, folder: RunFolder) -> None:
        """Writes card.json and card.md."""
        write_json(folder.card, self.to_json())
        atomic_write(folder.card_text, self.to_markdown())


def read_card(folder: RunFolder) -> RunCard:
    """The card of a run. Raises RunError when it is missing or damaged."""
    return RunCard.from_json(read_json(folder.card))


def current_versions() -> dict[str, str]:
    """What computes here: Python, the packages that decide about numbers, amodal, the platform, the threads."""
    import torch

    versions = {"amodal": __version__, "python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions | {"platform": platform.platform(), "threads": str(torch.get_num_threads())}


def _rows(mapping: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in mapping.items()]


def _figures_table(figures: Mapping[str, Figure]) -> str:
    rows = [
        (
            figure_name(name),
            figure_number(name, figure.value),
            figure_interval(name, figure),
            "" if figure.chance is None else figure_number(name, figure.chance),
            f"{figure.n:,}",
            "" if figure.candidates is None else f"{figure.candidates:,}",
        )
        for name, figure in figures.items()
    ]
    return _table(("figure", "value", "95 % interval", "chance", "n", "candidates"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(_cell(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that stays in its cell: no pipe ends it, no line break leaves it, no HTML in it is taken for markup."""
    return re.sub(r"[ \t\r\n]+", " ", text).replace("|", "\\|").replace("<", "&lt;")
