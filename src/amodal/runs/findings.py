"""diagnosis.json: what was seen to go wrong while a run went on, in words for people, with the steps."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from amodal.core.errors import RunError
from amodal.runs.folder import read_json, write_json

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One symptom. says: the evidence and what to try; first, last: the steps in which it was seen, 0 before training.

    severity: "error" has stopped the run, "warning" spoils it, "note" may be as wished.
    """

    name: str
    severity: Severity
    says: str
    first: int
    last: int

    @property
    def when(self) -> str:
        """Its steps in words."""
        if not self.last:
            return "before training"
        return f"step {self.first:,}" if self.first == self.last else f"steps {self.first:,} to {self.last:,}"


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Writes all findings of a run; none is worth a file, too."""
    write_json(path, {"findings": [asdict(finding) for finding in findings]})


def read_findings(path: Path) -> list[Finding] | None:
    """The findings of a run, the gravest first; None for a run of a version that did not look. Raises RunError."""
    if not path.exists():
        return None
    try:
        findings = [Finding(**each) for each in read_json(path)["findings"]]
        return sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.first))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} holds no findings ({error}); remove the file, nothing else needs it") from error
