"""What is wrong with data or a model: `examine` a table, `measure` a model's limits, and the pages of both."""

from amodal.audit.examine import examine
from amodal.audit.findings import SEVERITIES, Case, Examination, FalseNegatives, Finding, Severity
from amodal.audit.limits import Match, Measured, measure, told
from amodal.audit.limits_page import limits_headline, shown_figure, write_limits_page
from amodal.audit.page import write_page
from amodal.audit.trials import CHANCE, LIMITS, Limit, Trial, all_trials, bundled_trials, scene_trials
from amodal.audit.wording import facts, headline

__all__ = [
    "CHANCE",
    "LIMITS",
    "SEVERITIES",
    "Case",
    "Examination",
    "FalseNegatives",
    "Finding",
    "Limit",
    "Match",
    "Measured",
    "Severity",
    "Trial",
    "all_trials",
    "bundled_trials",
    "examine",
    "facts",
    "headline",
    "limits_headline",
    "measure",
    "scene_trials",
    "shown_figure",
    "told",
    "write_limits_page",
    "write_page",
]
