"""The runs of a folder, for the page: their figures and their reports."""

from pathlib import Path

import yaml

from amodal.app.messages import RunOut
from amodal.app.refusals import Refused
from amodal.core.errors import RunError
from amodal.runs import RunFolder
from amodal.runs.folder import read_json


def list_runs(folder: Path | None) -> list[RunOut]:
    """The finished runs in a folder, by name; none without one."""
    return [_told(run) for run in _finished(folder)]


def report_of(folder: Path | None, name: str) -> bytes:
    """The report of a run. Raises Refused where there is none."""
    for run in _finished(folder):
        if run.path.name == name and run.report.is_file():
            return run.report.read_bytes()
    raise Refused(404, "there is no such report; start the service with --runs FOLDER, the folder of finished runs")


def _finished(folder: Path | None) -> list[RunFolder]:
    if folder is None or not folder.is_dir():
        return []
    runs = [RunFolder(path) for path in sorted(folder.iterdir()) if path.is_dir()]
    return [run for run in runs if run.is_finished and run.config.is_file()]


def _told(run: RunFolder) -> RunOut:
    try:
        figures = read_json(run.figures)
    except RunError:
        figures = {}
    name = run.path.name
    return RunOut(
        name=name,
        recipe=_recipe(run.recipe),
        figures=figures,
        report=f"/api/runs/{name}/report" if run.report.is_file() else None,
    )


def _recipe(path: Path) -> str:
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    return str(said.get("name", "")) if isinstance(said, dict) else ""
