"""How statements and questions are worded, one class a grammar. Nouns come from any bundled language.

English inflects the nouns itself. CLDR gives German and Spanish names without gender or plural, so those two grammars
put a word of known gender before the name and inflect that alone: "zwei rote Symbole Apfel" (the name in apposition),
"dos dibujos rojos de manzana" (a drawing of). Every grammar says the same facts; none drops an attribute.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from amodal.core.errors import UsageError
from amodal.data.scenes.nouns import article, plural

Part = tuple[str, str]
"""Words and their role: "colour", "size", "noun", or "" for what ties them together."""


class Phrase(NamedTuple):
    """What is said of the things of one kind: a name, how many (0: not said), the attributes ("" for none)."""

    name: str
    several: bool
    count: int = 0
    colour: str = ""
    size: str = ""


class Grammar(Protocol):
    """The sentence forms of one language. Phrases are lists of `Part`s; `{}` in a form stands for a phrase."""

    joint: str
    last_joint: str
    relations: Mapping[str, str]
    asked: Mapping[str, str]
    colours: Mapping[str, str]
    yes_no: tuple[str, str]

    def phrase(self, said: Phrase, case: str = "") -> list[Part]:
        """ "a red cat", "two cats", "cats". case: "dative" after a preposition, where the language has one."""
        ...

    def known(self, said: Phrase, case: str = "") -> list[Part]:
        """ "the cat"."""
        ...

    def bare(self, said: Phrase) -> list[Part]:
        """ "cats", as in "how many cats"."""
        ...


def _attributes(size: str, colour: str) -> list[Part]:
    return [(words, role) for words, role in ((size, "size"), (colour, "colour")) if words]


class English:
    """a red cat; two cats; the cat. Nouns of another language are not inflected: two Katze."""

    def __init__(self, inflects: bool = True) -> None:
        self._plural = plural if inflects else str

    joint, last_joint = ", ", " and "
    numbers = ("no", "one", "two", "three", "four", "five", "six")
    yes_no: tuple[str, str] = ("yes", "no")
    colours: Mapping[str, str] = {c: c for c in ("red", "yellow", "green", "blue", "purple", "grey")}
    relations: Mapping[str, str] = {
        "left of": "{} left of {}",
        "right of": "{} right of {}",
        "above": "{} above {}",
        "below": "{} below {}",
        "bigger than": "{} bigger than {}",
        "between": "{} between {} and {}",
    }
    asked: Mapping[str, str] = {
        "exists": "Is there {}?",
        "count": "How many {} are there?",
        "which is left of": "Which is further left, {} or {}?",
        "compare counts": "Are there more {} than {}?",
        "left of": "Is {} left of {}?",
        "right of": "Is {} right of {}?",
        "above": "Is {} above {}?",
        "below": "Is {} below {}?",
        "bigger than": "Is {} bigger than {}?",
        "attribute": "What colour is {}?",
    }

    def phrase(self, said: Phrase, case: str = "") -> list[Part]:
        noun = self._plural(said.name) if said.several else said.name
        parts = [*_attributes(said.size, said.colour), (noun, "noun")]
        if said.count:
            return [(self.numbers[said.count], "count"), *parts]
        return parts if said.several else [(article(parts[0][0]), ""), *parts]

    def known(self, said: Phrase, case: str = "") -> list[Part]:
        return [("the", ""), (said.name, "noun")]

    def bare(self, said: Phrase) -> list[Part]:
        return [(self._plural(said.name), "noun")]


class German:
    """ein rotes Symbol Katze; zwei Symbole Katze; das Symbol Katze."""

    joint, last_joint = ", ", " und "
    numbers = ("kein", "ein", "zwei", "drei", "vier", "fünf", "sechs")
    yes_no: tuple[str, str] = ("ja", "nein")
    colours: Mapping[str, str] = {
        "red": "rot", "yellow": "gelb", "green": "grün", "blue": "blau", "purple": "lila", "grey": "grau",
    }  # fmt: skip
    sizes: Mapping[str, str] = {"big": "groß", "small": "klein", "": ""}
    relations: Mapping[str, str] = {
        "left of": "{} links von {dative}",
        "right of": "{} rechts von {dative}",
        "above": "{} über {dative}",
        "below": "{} unter {dative}",
        "bigger than": "{} größer als {}",
        "between": "{} zwischen {dative} und {dative}",
    }
    asked: Mapping[str, str] = {
        "exists": "Gibt es {}?",
        "count": "Wie viele {} gibt es?",
        "which is left of": "Was ist weiter links, {} oder {}?",
        "compare counts": "Gibt es mehr {} als {}?",
        "left of": "Ist {} links von {dative}?",
        "right of": "Ist {} rechts von {dative}?",
        "above": "Ist {} über {dative}?",
        "below": "Ist {} unter {dative}?",
        "bigger than": "Ist {} größer als {}?",
        "attribute": "Welche Farbe hat {}?",
    }

    def phrase(self, said: Phrase, case: str = "") -> list[Part]:
        ending = "e" if said.several else "en" if case else "es"
        size, colour = self.sizes[said.size], self.colours.get(said.colour, "")
        attributes = _attributes(self._ended(size, ending), self._ended(colour, ending))
        if said.several:
            counted: list[Part] = [(self.numbers[said.count], "count")] if said.count else []
            return [*counted, *attributes, ("Symbole", ""), (said.name, "noun")]
        first = ("einem" if case else "ein", "count" if said.count else "")
        return [first, *attributes, ("Symbol", ""), (said.name, "noun")]

    def known(self, said: Phrase, case: str = "") -> list[Part]:
        return [("dem" if case else "das", ""), ("Symbol", ""), (said.name, "noun")]

    def bare(self, said: Phrase) -> list[Part]:
        return [("Symbole", ""), (said.name, "noun")]

    @staticmethod
    def _ended(word: str, ending: str) -> str:
        return word if word in ("", "lila") else word + ending  # lila is never inflected


class Spanish:
    """un dibujo rojo de gato; dos dibujos de gato; el dibujo de gato."""

    joint, last_joint = ", ", " y "
    numbers = ("ningún", "un", "dos", "tres", "cuatro", "cinco", "seis")
    yes_no: tuple[str, str] = ("sí", "no")
    colours: Mapping[str, str] = {
        "red": "rojo", "yellow": "amarillo", "green": "verde", "blue": "azul", "purple": "morado", "grey": "gris",
    }  # fmt: skip
    sizes: Mapping[str, str] = {"big": "grande", "small": "pequeño", "": ""}
    relations: Mapping[str, str] = {
        "left of": "{} a la izquierda de {}",
        "right of": "{} a la derecha de {}",
        "above": "{} encima de {}",
        "below": "{} debajo de {}",
        "bigger than": "{} más grande que {}",
        "between": "{} entre {} y {}",
    }
    asked: Mapping[str, str] = {
        "exists": "¿Hay {}?",
        "count": "¿Cuántos {} hay?",
        "which is left of": "¿Qué está más a la izquierda, {} o {}?",
        "compare counts": "¿Hay más {} que {}?",
        "left of": "¿Está {} a la izquierda {de}?",
        "right of": "¿Está {} a la derecha {de}?",
        "above": "¿Está {} encima {de}?",
        "below": "¿Está {} debajo {de}?",
        "bigger than": "¿Es {} más grande que {}?",
        "attribute": "¿De qué color es {}?",
    }

    def phrase(self, said: Phrase, case: str = "") -> list[Part]:
        size, colour = self.sizes[said.size], self.colours.get(said.colour, "")
        attributes = _attributes(self._agreed(size, said.several), self._agreed(colour, said.several))
        if said.several:
            first: list[Part] = [(self.numbers[said.count], "count")] if said.count else []
        else:
            first = [("un", "count" if said.count else "")]
        return [*first, ("dibujos" if said.several else "dibujo", ""), *attributes, ("de", ""), (said.name, "noun")]

    def known(self, said: Phrase, case: str = "") -> list[Part]:
        return [("del" if case == "de" else "el", ""), ("dibujo", ""), ("de", ""), (said.name, "noun")]

    def bare(self, said: Phrase) -> list[Part]:
        return [("dibujos", ""), ("de", ""), (said.name, "noun")]

    @staticmethod
    def _agreed(word: str, several: bool) -> str:
        if not several or not word:
            return word
        return word + ("s" if word[-1] in "aeiou" else "es")


GRAMMARS = ("en", "de", "es")


def grammar(name: str, nouns: str) -> Grammar:
    """The grammar "en", "de" or "es" for nouns of the language `nouns`. Raises UsageError for another."""
    if name == "en":
        return English(inflects=nouns == "en")
    if name == "de":
        return German()
    if name == "es":
        return Spanish()
    raise UsageError(f"scenes have no grammar {name!r}; they have {', '.join(GRAMMARS)}, with nouns of any language")


class Text(NamedTuple):
    """Words with what they point to. phrases: (start, end) of each phrase; words: (start, end, phrase, role)."""

    text: str
    phrases: tuple[tuple[int, int], ...]
    words: tuple[tuple[int, int, int, str], ...]


def fill(form: str, phrases: Sequence[Callable[[str], list[Part]]]) -> Text:
    """The form with its slots filled: each phrase is asked for the case that its slot names. Spans count characters."""
    text, spans, words = "", [], []
    for index, piece in enumerate(form.split("{")):
        if index:
            case, _, piece = piece.partition("}")
            start = len(text)
            for number, (said, role) in enumerate(phrases[index - 1](case)):
                text += " " if number else ""
                if role:
                    words.append((len(text), len(text) + len(said), index - 1, role))
                text += said
            spans.append((start, len(text)))
        text += piece
    return Text(text, tuple(spans), tuple(words))
