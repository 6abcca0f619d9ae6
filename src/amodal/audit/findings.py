"""What the doctor says: findings with their rows, and what a batch would hold. Plain data, as JSON too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from amodal.data.rows import Row

Severity = Literal["problem", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note")


class Case(NamedTuple):
    """One instance of a finding: the rows it is about, by key and by number in the table, and what to know of it.

    rows is empty where the reader already left the row out.
    """

    keys: tuple[str, ...]
    rows: tuple[int, ...]
    note: str


def case_of(rows: Sequence[Row], numbers: Sequence[int], note: str) -> Case:
    """What there is to say of these rows."""
    return Case(tuple(rows[number].key for number in numbers), tuple(numbers), note)


def by_pair(rows: Sequence[Row], cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Cases whose rows training takes for strangers, and those whose rows share their pair, each in order."""
    strangers = [case for case in cases if len({rows[number].pair for number in case.rows}) > 1]
    return strangers, [case for case in cases if len({rows[number].pair for number in case.rows}) == 1]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of thing found. kind: a name for programs; said: what was found, in a sentence; advice: what to do.

    cases: all of them, the worst first.
    """

    kind: str
    severity: Severity
    title: str
    said: str
    advice: str
    cases: tuple[Case, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For programs, with every case."""
        return {**vars(self), "cases": [case._asdict() for case in self.cases], "count": len(self.cases)}


class FalseNegatives(NamedTuple):
    """What a random batch holds on average of entries, in its matrix of all pictures by all captions, that are pushed
    apart though they belong together. blind: by a loss that takes only the diagonal for true; left: by one that knows
    the pairs, as amodal's do."""

    batch: int
    blind: float
    left: float


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found in a source.

    splits: name -> rows, empty where there are none; scripts: writing -> captions; languages: code -> captions of the
    sample that was looked at, empty without the extra; sizes: "smallest", "median", "largest" -> (width, height).
    """

    name: str
    rows: int
    captions: int
    splits: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    scripts: Mapping[str, int] = field(default_factory=dict)
    languages: Mapping[str, int] = field(default_factory=dict)
    false_negatives: tuple[FalseNegatives, ...] = ()
    findings: tuple[Finding, ...] = ()

    def finding(self, kind: str) -> Finding | None:
        """The finding of this kind, if there is one."""
        return next((finding for finding in self.findings if finding.kind == kind), None)

    def count(self, severity: Severity) -> int:
        """How many findings are so grave."""
        return sum(finding.severity == severity for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            **vars(self),
            "false_negatives": [each._asdict() for each in self.false_negatives],
            "findings": [finding.to_json() for finding in self.findings],
        }
