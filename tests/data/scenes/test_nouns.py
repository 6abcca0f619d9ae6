"""Nouns: English plurals and articles by hand, and what is no countable thing."""

import pytest

from amodal.data.scenes.nouns import article, is_countable, plural


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("cat", "cats"),
        ("red apple", "red apples"),
        ("fox", "foxes"),
        ("bus", "buses"),
        ("peach", "peaches"),
        ("strawberry", "strawberries"),
        ("monkey", "monkeys"),
        ("tomato", "tomatoes"),
        ("avocado", "avocados"),
        ("computer mouse", "computer mice"),
        ("kitchen knife", "kitchen knives"),
        ("jellyfish", "jellyfish"),
        ("deer", "deer"),
        ("snowman", "snowmen"),
        ("glass of milk", "glasses of milk"),
        ("cup with straw", "cups with straw"),
        ("house", "houses"),
        ("mouse trap", "mouse traps"),
    ],
)
def test_plural(one: str, several: str) -> None:
    assert plural(one) == several


@pytest.mark.parametrize(
    ("words", "said"),
    [("apple", "an"), ("cat", "a"), ("unicorn", "a"), ("ewe", "a"), ("umbrella", "an"), ("owl", "an")],
)
def test_article(words: str, said: str) -> None:
    assert article(words) == said


@pytest.mark.parametrize(
    ("name", "group", "subgroup"),
    [
        ("grapes", "Food & Drink", "food-fruit"),
        ("fork and knife", "Food & Drink", "dishware"),
        ("Tokyo tower", "Travel & Places", "place-building"),
        ("one o’clock", "Travel & Places", "time"),
        ("grinning face", "Smileys & Emotion", "face-smiling"),
        ("flag: Peru", "Flags", "country-flag"),
    ],
)
def test_no_countable_thing(name: str, group: str, subgroup: str) -> None:
    assert not is_countable(name, group, subgroup)
    assert is_countable("cat", "Animals & Nature", "animal-mammal")
