"""The run folder: where everything in it lies, its history, its card, its plots and its report."""

from amodal.runs.card import RunCard, current_versions, read_card
from amodal.runs.findings import Finding, read_findings, write_findings
from amodal.runs.folder import SCHEMA, RunFolder, default_run_path
from amodal.runs.gallery import Thumbnails, shown_caption
from amodal.runs.history import History
from amodal.runs.page import html_page, html_table
from amodal.runs.report import Confusion, write_report
from amodal.runs.retrievals import Examples

__all__ = [
    "SCHEMA",
    "Confusion",
    "Examples",
    "Finding",
    "History",
    "RunCard",
    "RunFolder",
    "Thumbnails",
    "current_versions",
    "default_run_path",
    "html_page",
    "html_table",
    "read_card",
    "read_findings",
    "shown_caption",
    "write_findings",
    "write_report",
]
