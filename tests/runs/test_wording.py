"""How figures are said."""

import pytest

from amodal.metrics import Figure
from amodal.runs.wording import figure_interval, figure_name, figure_number, headline

SHARE = Figure(value=0.465, low=0.4, high=0.53, chance=0.0025, n=1200, candidates=400)
RANK = Figure(value=2.0, low=1.5, high=1234.0, chance=None, n=50)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("image_to_text/R@1", 0.465, "46.5 %"),
        ("image_to_text/R@1", 0.0, "0.0 %"),
        ("image_to_text/R@1", 1.0, "100.0 %"),
        ("zero_shot/top-1", 0.0025, "0.25 %"),
        ("image_to_text/median_rank", 2.0, "2"),
        ("text_to_image/mrr", 0.51234, "0.512"),
    ],
)
def test_numbers(name: str, value: float, said: str) -> None:
    assert figure_number(name, value).replace("\u00a0", " ") == said


def test_names_and_intervals() -> None:
    assert figure_name("image_to_text/R@1") == "image → text, R@1"
    assert figure_name("zero_shot/top-1") == "zero-shot, top-1"
    assert figure_name("image_to_text/median_rank") == "image → text, median rank"
    assert figure_interval("image_to_text/R@1", SHARE) == "40.0 to 53.0\u00a0%"
    assert figure_interval("median_rank", RANK) == "1.5 to 1.23e+03"


def test_headline() -> None:
    said = headline({"text_to_image/R@1": RANK, "image_to_text/R@1": SHARE}).replace("\u00a0", " ")
    assert said == (
        "For 46.5 % of pictures, the first caption found is the right one "
        "(n = 1,200; 95 % interval 40.0 to 53.0 %; among 400 candidates; chance 0.25 %)."
    )
    assert headline({}) == "This run has no figures yet."
    assert headline({"other/median_rank": RANK}).startswith("other, median rank is 2 (n = 50; 95")
