"""The run card: it comes back as it was written, and its page for people cannot be broken by what it says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from amodal import __version__
from amodal.core.errors import RunError
from amodal.metrics import Figure
from amodal.runs.card import RunCard, current_versions, read_card
from amodal.runs.findings import Finding
from amodal.runs.folder import RunFolder

FIGURE = Figure(value=0.5, low=0.4, high=0.6, chance=0.0025, n=400, candidates=400)
CARD = RunCard(
    name="small",
    command="amodal train small --set seed=3",
    created="2026-03-14T09:26:53+00:00",
    data="pets",
    data_fingerprint="abc",
    splits={"train": 1200, "test": 400},
    seeds={"run": 3},
    versions={"amodal": __version__},
    towers={"image": "f00", "text": "ba4"},
    trainable_parameters=10,
    total_parameters=40,
    timings={"training": 200.0},
    prompt_templates=("a picture of {}",),
    figures={"image_to_text/R@1": FIGURE},
    licences=("Pictures: someone, CC-BY 4.0",),
)


def test_card_comes_back(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    CARD.write(folder)
    assert read_card(folder) == CARD
    assert json.loads(folder.card.read_text())["figures"]["image_to_text/R@1"]["candidates"] == 400


def test_findings_come_back_and_are_told(tmp_path: Path) -> None:
    finding = Finding(name="captions cut", severity="warning", says="3 | are cut.", first=0, last=0)
    folder = RunFolder.create(tmp_path / "run")
    card = replace(CARD, findings=(finding,))
    card.write(folder)
    assert read_card(folder) == card
    assert "| captions cut | before training | 3 \\| are cut. |" in card.to_markdown()
    assert "Diagnosis" not in CARD.to_markdown()


def test_page_says_what_matters() -> None:
    page = CARD.to_markdown()
    for said in ("# small", CARD.command, "1,200", "3 min 20 s", "10 (25.0\u00a0%)", "a picture of {}", "CC-BY 4.0"):
        assert said in page
    assert "| image → text, R@1 | 50.0\u00a0% | 40.0 to 60.0\u00a0% | 0.25\u00a0% | 400 | 400 |" in page


def test_a_cell_stays_a_cell() -> None:
    page = replace(CARD, data="a|b\n<script>alert(1)</script>").to_markdown()
    assert "| set | a\\|b &lt;script>alert(1)&lt;/script> |" in page
    rows = [line.replace("\\|", "") for line in page.splitlines() if line.startswith("| set")]
    assert [row.count("|") for row in rows] == [3]


def test_a_foreign_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"not a run card .*a card has the fields name, command"):
        RunCard.from_json({"name": "small"})
    with pytest.raises(RunError, match=r"card\.json cannot be read"):
        read_card(RunFolder(tmp_path))


def test_versions_name_what_computes() -> None:
    versions = current_versions()
    assert set(versions) == {"amodal", "python", "torch", "timm", "transformers", "platform", "threads"}
    assert versions["amodal"] == __version__
    assert int(versions["threads"]) >= 1
