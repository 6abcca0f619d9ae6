"""Scripts by Unicode; languages where the extra is installed, none where it is not."""

import sys

import pytest

from amodal.data.languages import count_languages, script_of

SENTENCES = {
    "en": "two dogs are running over a green lawn in the park",
    "de": "eine Frau mit rotem Hut steht vor dem alten Haus",
    "nl": "een man loopt met een hond langs het strand",
    "fr": "un chat noir dort sur le canapé de la maison",
}


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("a cat", "Latin"),
        ("Ein Mädchen", "Latin"),
        ("два кота 2", "Cyrillic"),
        ("猫と犬がいる", "Hiragana"),
        ("一只猫", "CJK"),
        ("고양이", "Hangul"),
        ("قطة", "Arabic"),
        ("कुत्ता", "Devanagari"),
        ("γάτα", "Greek"),
        ("cat кот", "Latin"),  # as many letters of both: the first one's
        ("12 🐈", "none"),
        ("", "none"),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert script_of(text) == script


def test_languages() -> None:
    pytest.importorskip("py3langid")
    counted = count_languages([*SENTENCES.values(), SENTENCES["en"], "too short", "123 456"])
    assert counted == {"en": 2, "de": 1, "nl": 1, "fr": 1}


def test_a_sample_of_many() -> None:
    pytest.importorskip("py3langid")
    counted = count_languages([SENTENCES["en"], SENTENCES["de"]] * 6000)
    assert 2000 < sum(counted.values()) <= 5000


def test_without_the_extra_no_language_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    assert count_languages(list(SENTENCES.values())) == {}
