"""What is wrong with data, found before any training: `examine` a table, `write_page` what was found."""

from amodal.audit.examine import examine
from amodal.audit.findings import SEVERITIES, Case, Examination, FalseNegatives, Finding, Severity
from amodal.audit.page import write_page
from amodal.audit.wording import facts, headline

__all__ = [
    "SEVERITIES",
    "Case",
    "Examination",
    "FalseNegatives",
    "Finding",
    "Severity",
    "examine",
    "facts",
    "headline",
    "write_page",
]
