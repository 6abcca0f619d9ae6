"""amodal study: the list, a table with the verdict, and the way on after a stop."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amodal.core.errors import Interrupted
from amodal.studies import STUDIES
from amodal.studies.mutual_information import MutualInformation


def test_without_a_name_the_studies_are_listed(cli: Callable[..., Any]) -> None:
    answer = cli("study")
    assert answer.code == 0, answer.err
    assert [line for line in answer.out.splitlines() if not line.startswith(" ")] == list(STUDIES)
    assert answer.out.count("  claim: ") == answer.out.count("  cost: ") == len(STUDIES)
    said = json.loads(cli("study", "--json").out)["studies"]
    assert [each["name"] for each in said] == list(STUDIES)
    assert all(each["claim"] and each["rule"] and each["cost"] for each in said)


def test_table_checks_and_verdict(cli: Callable[..., Any], tmp_path: Path) -> None:
    answer = cli("study", "mutual-information", "--set", "tiny=true", "--set", "trained=[]", "--out", tmp_path / "a")
    assert answer.code == 0, answer.err
    assert "optimal, 2 nats, N = 16" in answer.out
    assert "verdict: undecided" in answer.out
    assert f"report: {tmp_path / 'a' / 'report.html'}" in answer.err


def test_default_folder_is_new_each_time(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert cli("study", "mutual-information", "--set", "tiny=true", "--set", "trained=[]").code == 0
    assert sorted(path.name for path in (tmp_path / "studies").iterdir()) == [
        "mutual-information",
        "mutual-information-2",
    ]


def test_wrong_use(cli: Callable[..., Any], tmp_path: Path) -> None:
    answer = cli("study", "temperatur")
    assert (answer.code, "did you mean temperature?" in answer.err) == (2, True)
    answer = cli("study", "temperature", "--set", "epoch=3", "--out", tmp_path / "a")
    assert (answer.code, "did you mean epochs?" in answer.err) == (2, True)
    assert not (tmp_path / "a").exists()


def test_a_stopped_study_says_how_to_go_on(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise Interrupted(2)

    monkeypatch.setattr(MutualInformation, "measure", stop)
    answer = cli("study", "mutual-information", "--set", "pairs=[4, 8]", "--out", tmp_path / "a")
    assert answer.code == 130
    assert f"to go on: amodal study mutual-information --out {tmp_path / 'a'} --set 'pairs=[4, 8]'" in answer.err
