"""The frame: a study that was killed goes on, another one's folder is refused, and the folder tells all."""

import json
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from amodal.core.errors import RecipeError, RunError, UsageError
from amodal.features import FeatureCache
from amodal.runs.curves import Chart, Line
from amodal.studies import catalogue, run_study
from amodal.studies.run import file_name, parse_config
from amodal.studies.study import Check, Findings, Measured, Study, StudyConfig, mean_interval, rows_of


class CoinConfig(StudyConfig):
    """bias: of the coin."""

    bias: float = 0.2
    items: int = Field(default=30, ge=1)


class Coin(Study[CoinConfig]):
    """Whether a biased setting lies above the plain one."""

    name: ClassVar = "coin"
    claim: ClassVar = "A bias <shows>."
    rule: ClassVar = "Biased less plain is above 0."
    method: ClassVar = "Numbers."
    cost: ClassVar = "nothing"
    config_class: ClassVar = CoinConfig
    tiny: ClassVar = {"seeds": 2, "items": 3}
    asked: ClassVar[list[tuple[str, int]]] = []
    breaks_at: ClassVar[tuple[str, int] | None] = None

    def settings(self) -> list[str]:
        return ["plain", "biased, 1/2"]

    def measure(self, setting: str, seed: int) -> dict[str, list[float]]:
        if (setting, seed) == Coin.breaks_at:
            raise KeyboardInterrupt
        Coin.asked.append((setting, seed))
        bias = self.config.bias if setting != "plain" else 0.0
        return {"height": [bias + 0.01 * ((seed + each) % 3) for each in range(self.config.items)]}

    def conclude(self, measured: Measured) -> Findings:
        difference = mean_interval(measured["biased, 1/2"]["height"] - measured["plain"]["height"])
        x = [1.0, 2.0]
        return Findings(
            checks=[Check(says="biased less plain", found=difference, above=0.0)],
            rows=rows_of(measured, "height", "", "plain"),
            against="plain",
            chart=Chart(title="Heights", x_label="x", lines=[Line(label="line", x=x, y=x)]),
            notes=["A note & more."],
        )


@pytest.fixture
def coin(monkeypatch: pytest.MonkeyPatch) -> type[Coin]:
    monkeypatch.setattr(Coin, "asked", [])
    monkeypatch.setattr(Coin, "breaks_at", None)
    return Coin


def run(out: Path, *overrides: str) -> object:
    return run_study(Coin, out, overrides, cache=FeatureCache(out.parent / "c.sqlite"), say=lambda line: None)


def test_folder_tells_claim_verdict_and_figures(coin: type[Coin], tmp_path: Path) -> None:
    out = tmp_path / "coin"
    done = run_study(Coin, out, cache=FeatureCache(tmp_path / "c.sqlite"), say=lambda line: None)
    assert done.verdict == "holds"
    assert coin.asked == [(setting, seed) for seed in range(5) for setting in ("plain", "biased, 1/2")]
    said = json.loads((out / "result.json").read_text())
    assert said == json.loads(json.dumps(done.to_json()))
    assert (said["study"], said["verdict"], said["against"]) == ("coin", "holds", "plain")
    assert said["checks"][0]["found"]["value"] == pytest.approx(0.2)
    assert [row["setting"] for row in said["table"]] == ["plain", "biased, 1/2"]
    assert len(said["table"][1]["values"]) == 5
    assert said["table"][1]["difference"]["low"] > 0
    assert said["table"][0]["difference"] is None
    page, text = (out / "report.html").read_text(), (out / "report.md").read_text()
    assert "A bias &lt;shows&gt;." in page
    assert "The claim holds." in page
    assert "A note &amp; more." in page
    assert "**Verdict: holds**" in text
    assert "| biased, 1/2 |" in text
    assert "A note & more." in text
    assert (out / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_a_killed_study_goes_on_where_it_was(coin: type[Coin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "coin"
    monkeypatch.setattr(Coin, "breaks_at", ("plain", 3))
    with pytest.raises(KeyboardInterrupt):
        run(out)
    assert len(coin.asked) == 6
    assert not (out / "result.json").exists()
    monkeypatch.setattr(Coin, "breaks_at", None)
    coin.asked.clear()
    run(out)
    assert coin.asked == [(setting, seed) for seed in (3, 4) for setting in ("plain", "biased, 1/2")]
    whole = tmp_path / "whole"
    run(whole)
    results = [json.loads((folder / "result.json").read_text()) for folder in (out, whole)]
    for result in results:
        del result["folder"], result["seconds"]
    assert results[0] == results[1]
    coin.asked.clear()
    run(out)  # once more: nothing is measured again
    assert coin.asked == []


def test_folders_of_something_else_are_refused_and_left_alone(coin: type[Coin], tmp_path: Path) -> None:
    out = tmp_path / "coin"
    run(out)
    with pytest.raises(RunError, match="same settings"):
        run(out, "bias=0.5")
    other = tmp_path / "mine"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="no study"):
        run(other)
    assert [path.name for path in other.iterdir()] == ["letter.txt"]


def test_settings_are_checked(coin: type[Coin]) -> None:
    assert parse_config(coin, []) == CoinConfig()
    assert parse_config(coin, ["bias=0.5", "seeds=7"]) == CoinConfig(bias=0.5, seeds=7)
    assert parse_config(coin, ["items=9", "tiny=true"]) == CoinConfig(seeds=2, items=9)
    with pytest.raises(RecipeError, match="study coin: unknown key bais; did you mean bias"):
        parse_config(coin, ["bais=1"])
    with pytest.raises(RecipeError, match="seeds"):
        parse_config(coin, ["seeds=1"])
    with pytest.raises(UsageError, match="did you mean temperature"):
        catalogue.study_class("temperatur")


def test_file_names_hold_nothing_that_a_file_system_refuses() -> None:
    assert file_name("biased, 1/2: a|b") == "biased-1-2-a-b"
