"""Templates: every ensemble is well formed, names are looked up or refused, articles fit."""

import doctest

import pytest

import amodal.evaluation.templates
from amodal.core.errors import UsageError
from amodal.evaluation.templates import TEMPLATES, fill, templates_for


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_ensemble_is_well_formed(name: str) -> None:
    templates = templates_for(name)
    assert len(set(templates)) == len(templates)
    assert all(template.count("{}") == 1 for template in templates)


def test_ensembles() -> None:
    assert {"plain", "photo", "photos", "objects-small", "drawings"} <= set(TEMPLATES)
    assert TEMPLATES["plain"] == ("{}",)
    assert TEMPLATES["photo"] == ("a photo of a {}.",)
    assert len(TEMPLATES["photos"]) == 20


def test_own_templates() -> None:
    assert templates_for(["ein Foto von {}", "{}"]) == ("ein Foto von {}", "{}")
    assert templates_for("ein Foto von {}") == ("ein Foto von {}",)


@pytest.mark.parametrize("wrong", ["a photo", "{} and {}", "{0}", "{name}"])
def test_template_without_exactly_one_place_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="exactly once"):
        templates_for(["{}", wrong])


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'photos'"):
        templates_for("fotos")
    with pytest.raises(UsageError, match="at least one"):
        templates_for([])


@pytest.mark.parametrize(
    ("name", "filled"),
    [
        ("cat", "a cat"),
        ("apple", "an apple"),
        ("Apple", "an Apple"),
        ("hourglass", "an hourglass"),
        ("unicorn", "a unicorn"),
        ("umbrella", "an umbrella"),
        ("euro banknote", "a euro banknote"),
        ("one-piece swimsuit", "a one-piece swimsuit"),
        ("onion", "an onion"),
        ("x-ray", "an x-ray"),
        ("the moon", "the moon"),
        ("an owl", "an owl"),
        ("Theatre", "a Theatre"),
        ("кошка", "a кошка"),
        ("brace {} inside", "a brace {} inside"),
    ],
)
def test_articles(name: str, filled: str) -> None:
    assert fill("a {}", name) == filled
    assert fill("A photo of a {}.", name) == f"A photo of {filled}."
    assert fill("a drawing of {}", name) == f"a drawing of {name}"


def test_capital_article_stays_capital() -> None:
    assert fill("A {}.", "apple") == "An apple."
    assert fill("data {}", "apple") == "data apple"


def test_doctest() -> None:
    found = doctest.testmod(amodal.evaluation.templates)
    assert found.attempted > 0
    assert found.failed == 0
