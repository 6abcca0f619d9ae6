"""Every study in the room is in the catalogue, says what it must, and runs at its smallest."""

import importlib
import json
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import amodal.studies
from amodal.studies import STUDIES, Study


def studies_written() -> dict[str, type[Study]]:
    """Every subclass of `Study` in the files of the room, by the file it stands in."""
    found = {}
    for module in pkgutil.iter_modules(amodal.studies.__path__):
        inside = importlib.import_module(f"amodal.studies.{module.name}")
        for value in vars(inside).values():
            if (
                isinstance(value, type)
                and issubclass(value, Study)
                and value.__module__ == inside.__name__ != Study.__module__
            ):
                found[module.name] = value
    return found


def test_every_study_is_in_the_catalogue_under_its_file() -> None:
    written = studies_written()
    assert len(written) >= 5
    assert {name.replace("_", "-"): kind for name, kind in written.items()} == STUDIES


@pytest.mark.parametrize("name", STUDIES)
def test_study_says_what_it_must(name: str) -> None:
    kind = STUDIES[name]
    assert kind.name == name
    for said in (kind.claim, kind.rule, kind.method, kind.cost):
        assert len(said) > 10
    assert kind.config_class().seeds >= 5
    smallest = kind.config_class.model_validate(dict(kind.tiny))
    assert smallest.seeds < 5  # a try of seconds never concludes


@pytest.mark.parametrize("name", STUDIES)
def test_study_runs_at_its_smallest(name: str, cli: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "study"
    answer = cli("study", name, "--set", "tiny=true", "--out", out, "--json")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert said["verdict"] == "undecided"
    assert said["study"] == name
    assert said["checks"]
    settings = {row["setting"] for row in said["table"]}
    assert len(list((out / "measured").iterdir())) == said["config"]["seeds"] * len(settings)
    assert not (out / "unfinished").exists()
    assert all((out / file).stat().st_size for file in ("report.html", "report.md", "plot.png", "result.json"))
