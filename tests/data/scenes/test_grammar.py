"""Sentences of three grammars by hand, and the spans of their words."""

import pytest

from amodal.core.errors import UsageError
from amodal.data.scenes.grammar import GRAMMARS, Phrase, fill, grammar

CAT, DOG, HAT = Phrase("cat", False), Phrase("dog", False), Phrase("hat", False)


def said(language: str, form: str, *phrases: Phrase) -> str:
    words = grammar(language, "en")
    return fill(words.relations[form], [lambda case, each=each: words.phrase(each, case) for each in phrases]).text


@pytest.mark.parametrize(
    ("language", "relation", "sentence"),
    [
        ("en", "left of", "a cat left of a dog"),
        ("de", "left of", "ein Symbol cat links von einem Symbol dog"),
        ("de", "below", "ein Symbol cat unter einem Symbol dog"),
        ("de", "bigger than", "ein Symbol cat größer als ein Symbol dog"),
        ("es", "right of", "un dibujo de cat a la derecha de un dibujo de dog"),
        ("es", "bigger than", "un dibujo de cat más grande que un dibujo de dog"),
    ],
)
def test_relations(language: str, relation: str, sentence: str) -> None:
    assert said(language, relation, CAT, DOG) == sentence


def test_between() -> None:
    assert said("en", "between", CAT, DOG, HAT) == "a cat between a dog and a hat"
    assert said("de", "between", CAT, DOG, HAT) == "ein Symbol cat zwischen einem Symbol dog und einem Symbol hat"
    assert said("es", "between", CAT, DOG, HAT) == "un dibujo de cat entre un dibujo de dog y un dibujo de hat"


@pytest.mark.parametrize(
    ("language", "phrase", "words"),
    [
        ("en", Phrase("apple", False, 0, "", ""), "an apple"),
        ("en", Phrase("apple", False, 0, "red", "big"), "a big red apple"),
        ("en", Phrase("apple", True, 3, "red", ""), "three red apples"),
        ("en", Phrase("apple", True), "apples"),
        ("de", Phrase("Apfel", False, 1, "red", "big"), "ein großes rotes Symbol Apfel"),
        ("de", Phrase("Apfel", True, 3, "purple", "small"), "drei kleine lila Symbole Apfel"),
        ("de", Phrase("Apfel", True), "Symbole Apfel"),
        ("es", Phrase("manzana", False, 0, "red", "small"), "un dibujo pequeño rojo de manzana"),
        ("es", Phrase("manzana", True, 2, "grey", "big"), "dos dibujos grandes grises de manzana"),
        ("es", Phrase("manzana", True, 0, "blue", ""), "dibujos azules de manzana"),
    ],
)
def test_phrases(language: str, phrase: Phrase, words: str) -> None:
    parts = grammar(language, language).phrase(phrase)
    assert " ".join(part for part, _ in parts) == words


def test_german_dative_carries_the_attribute() -> None:
    parts = grammar("de", "de").phrase(Phrase("Katze", False, 0, "red", ""), "dative")
    assert " ".join(part for part, _ in parts) == "einem roten Symbol Katze"


@pytest.mark.parametrize(
    ("language", "question"),
    [
        ("en", "Is the cat left of the dog?"),
        ("de", "Ist das Symbol cat links von dem Symbol dog?"),
        ("es", "¿Está el dibujo de cat a la izquierda del dibujo de dog?"),
    ],
)
def test_questions(language: str, question: str) -> None:
    words = grammar(language, "en")
    text = fill(words.asked["left of"], [lambda case, each=each: words.known(each, case) for each in (CAT, DOG)])
    assert text.text == question


def test_spans_by_hand() -> None:
    words = grammar("en", "en")
    phrases = (Phrase("cat", True, 2, "red"), DOG)
    text = fill("{} and {}", [lambda case, each=each: words.phrase(each, case) for each in phrases])
    assert text.text == "two red cats and a dog"
    assert text.phrases == ((0, 12), (17, 22))
    assert text.words == ((0, 3, 0, "count"), (4, 7, 0, "colour"), (8, 12, 0, "noun"), (19, 22, 1, "noun"))


def test_foreign_nouns_are_not_inflected() -> None:
    assert grammar("en", "fr").phrase(Phrase("chat", True, 2)) == [("two", "count"), ("chat", "noun")]


def test_every_grammar_has_every_form() -> None:
    english = grammar("en", "en")
    for name in GRAMMARS:
        words = grammar(name, name)
        assert words.relations.keys() == english.relations.keys()
        assert words.asked.keys() == english.asked.keys()
        assert words.colours.keys() == english.colours.keys()


def test_an_unknown_grammar_is_refused() -> None:
    with pytest.raises(UsageError, match="no grammar 'fr'"):
        grammar("fr", "fr")
