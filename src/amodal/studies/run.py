"""run_study: measures what is not measured yet, concludes, and writes the folder. A killed study goes on where it was.

S seeds · N items
"""

import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amodal import __version__
from amodal.core.errors import RunError
from amodal.core.progress import clock
from amodal.features import FeatureCache
from amodal.recipes.catalogue import read_override
from amodal.recipes.schema import validated
from amodal.runs import current_versions
from amodal.runs.folder import read_json, write_json
from amodal.studies.report import write_study_report
from amodal.studies.study import Findings, Measured, Place, Study, StudyConfig, Verdict, verdict_of

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Concluded:
    """A finished study. seconds: that all measurements took, those of an earlier call included."""

    study: type[Study]
    config: StudyConfig
    findings: Findings
    verdict: Verdict
    folder: Path
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints and result.json holds."""
        found = self.findings
        return {
            "study": self.study.name,
            "claim": self.study.claim,
            "rule": self.study.rule,
            "verdict": self.verdict,
            "checks": [
                {**asdict(check), "found": check.found._asdict(), "verdict": check.verdict} for check in found.checks
            ],
            "against": found.against,
            "table": [
                {**asdict(row), "mean": row.mean, "difference": row.difference and row.difference._asdict()}
                for row in found.rows
            ],
            "notes": list(found.notes),
            "config": self.config.model_dump(mode="json"),
            "seconds": round(self.seconds, 1),
            "versions": current_versions(),
            "folder": str(self.folder),
        }


def run_study(
    kind: type[Study], out: Path, overrides: Sequence[str] = (), *, cache: FeatureCache, say: Callable[[str], None]
) -> Concluded:
    """Runs a study into the folder `out`, or goes on with what stopped there before.

    overrides: "seeds=8" and so on over its settings; "tiny=true" takes those of seconds as the base. The folder then
    holds result.json, report.html, report.md, plot.png, and every measurement in measured/. Raises AmodalError.
    """
    config = parse_config(kind, overrides)
    _begin(out, kind, config)
    study = kind(config, Place(cache, out / "unfinished"))
    wanted = [(setting, seed) for seed in range(config.seeds) for setting in study.settings()]
    seconds = 0.0
    for number, (setting, seed) in enumerate(wanted, 1):
        path = _measurement(out, setting, seed)
        if not path.exists():
            started = time.monotonic()
            figures = study.measure(setting, seed)
            taken = time.monotonic() - started
            write_json(path, {"setting": setting, "seed": seed, "seconds": round(taken, 2), "figures": figures})
            say(f"{kind.name} {number}/{len(wanted)}: {setting}, seed {seed}, {clock(taken)}")
        seconds += read_json(path)["seconds"]
    findings = study.conclude(read_measured(out, study.settings(), config.seeds))
    verdict = verdict_of(findings.checks, config.seeds)
    done = Concluded(study=kind, config=config, findings=findings, verdict=verdict, folder=out, seconds=seconds)
    write_study_report(out, kind, findings, verdict, _about(done))
    write_json(out / "result.json", done.to_json())
    shutil.rmtree(out / "unfinished", ignore_errors=True)
    return done


def parse_config(kind: type[Study], overrides: Sequence[str]) -> StudyConfig:
    """The settings of a study. Raises RecipeError for one that it does not have."""
    values: dict[str, Any] = {}
    for override in overrides:
        values |= read_override(override)
    base = dict(kind.tiny) if values.pop("tiny", False) is True else {}
    return validated(kind.config_class, {**base, **values}, f"study {kind.name}")


def read_measured(out: Path, settings: Sequence[str], seeds: int) -> Measured:
    """All measurements of a folder: setting -> figure -> (S, N)."""
    measured = {}
    for setting in settings:
        each = [read_json(_measurement(out, setting, seed))["figures"] for seed in range(seeds)]
        measured[setting] = {figure: np.array([values[figure] for values in each]) for figure in each[0]}
    return measured


def _begin(out: Path, kind: type[Study], config: StudyConfig) -> None:
    """The folder, new or of this very study. Raises RunError for any other."""
    head, said = out / "study.json", {"study": kind.name, "config": config.model_dump(mode="json"), "schema": SCHEMA}
    if head.exists():
        before = read_json(head)
        if {name: before.get(name) for name in said} != said:
            raise RunError(
                f"{out} holds study {before.get('study')} with {json.dumps(before.get('config'))}; "
                "give another folder (--out), or the same settings to go on with it"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(
            f"{out} holds something that is no study; nothing in it was touched: give another folder (--out)"
        )
    write_json(head, {**said, "amodal": __version__})


def _measurement(out: Path, setting: str, seed: int) -> Path:
    return out / "measured" / f"{file_name(setting)}-seed-{seed}.json"


def file_name(setting: str) -> str:
    """A setting's name without what some file system refuses."""
    return re.sub(r"[^\w.+=-]+", "-", setting).strip("-")


def _about(done: Concluded) -> dict[str, str]:
    """How it was run, for people."""
    sets = " ".join(f"{name}={json.dumps(value)}" for name, value in done.config.model_dump(mode="json").items())
    versions = ", ".join(f"{name} {version}" for name, version in current_versions().items())
    return {"settings": sets, "measured in": clock(done.seconds), "with": versions}
