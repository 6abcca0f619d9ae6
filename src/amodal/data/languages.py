"""The script of captions, by Unicode, and their language, by py3langid (Lui and Baldwin 2012) if it is installed."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

SAMPLE = 5000
LETTERS = 20
"""Letters below which a language is not guessed."""

SURE = 0.6


def script_of(text: str) -> str:
    """The writing most of a text's letters are in ("Latin", "Cyrillic", "CJK", ...), "none" without a letter."""
    if text.isascii():
        return "Latin" if any(letter.isalpha() for letter in text) else "none"
    counted = Counter(_script(letter) for letter in text if letter.isalpha())
    return counted.most_common(1)[0][0] if counted else "none"


def count_languages(texts: Sequence[str]) -> dict[str, int]:
    """ISO 639 code -> how many of an even sample of the texts, "und" where it is not clear; empty without the extra."""
    known = _identifier()
    if known is None:
        return {}
    long = [text for text in texts if sum(letter.isalpha() for letter in text) >= LETTERS]
    counted: Counter[str] = Counter()
    for text in long[:: max(1, -(-len(long) // SAMPLE))]:
        language, sureness = known.classify(text)
        counted[language if sureness >= SURE else "und"] += 1
    return dict(counted.most_common())


@cache
def _identifier() -> Any:
    """py3langid, read once; None without the extra."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:  # pip install amodal[languages]
        return None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@cache
def _script(letter: str) -> str:
    """The first word of a letter's Unicode name, which is its script in all but a few."""
    word = unicodedata.name(letter, "unknown").split()[0].split("-")[0]
    return "CJK" if word == "CJK" else word.capitalize()


def not_known(text: str, languages: Sequence[str]) -> str:
    """What to tell of a text that a model trained in these languages will not understand; "" where nothing is wrong.

    Told by the writing; of a text in Latin letters, if it is long enough and the extra is there, by its language.
    Only models of languages in Latin letters are judged, and none whose languages are not known.
    """
    if not languages or not set(languages) <= _LATIN:
        return ""
    known = ", ".join(languages)
    writing = script_of(text)
    if writing not in ("Latin", "none"):
        return f"the model knows {known}, and {text!r} is written in {writing}: what it finds will mean little"
    guessed = next(iter(count_languages([text])), "und")
    if guessed not in ("und", *languages):
        return f"the model knows {known}, and {text!r} seems to be {guessed}: what it finds may mean little"
    return ""


_LATIN = {"cs", "da", "de", "en", "es", "fi", "fr", "hu", "id", "it", "nl", "no", "pl", "pt", "ro", "sv", "tr", "vi"}
