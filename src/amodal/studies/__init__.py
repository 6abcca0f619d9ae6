"""Small experiments, one file a claim: measured over seeds, concluded by a rule that was fixed beforehand."""

from amodal.studies.catalogue import STUDIES, study_class
from amodal.studies.run import Concluded, run_study
from amodal.studies.study import Check, Findings, Interval, Row, Study, StudyConfig, Verdict, verdict_of

__all__ = [
    "STUDIES",
    "Check",
    "Concluded",
    "Findings",
    "Interval",
    "Row",
    "Study",
    "StudyConfig",
    "Verdict",
    "run_study",
    "study_class",
    "verdict_of",
]
