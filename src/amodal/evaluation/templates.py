"""Sentences that class names are put into, so that a text encoder reads them as captions (Radford et al. 2021).

The phrasings are our own. Their embeddings are averaged, which makes the answer depend less on any one wording.
"""

import difflib
import re
from collections.abc import Sequence

from amodal.core.errors import UsageError

TEMPLATES: dict[str, tuple[str, ...]] = {
    "plain": ("{}",),
    "photo": ("a photo of a {}.",),
    "photos": (
        "a photo of a {}.",
        "a {} in the picture.",
        "a snapshot showing a {}.",
        "a {} seen from nearby.",
        "a {} in the distance.",
        "a {} in the middle of the frame.",
        "part of a {}, cut off by the edge.",
        "an outdoor photo with a {}.",
        "an indoor photo with a {}.",
        "a {} in bright daylight.",
        "a {} photographed at night.",
        "a washed-out photo of a {}.",
        "a slightly blurred photo of a {}.",
        "a sharp, detailed photo of a {}.",
        "a grey-scale photo of a {}.",
        "an everyday picture of a {}.",
        "a holiday picture with a {} in it.",
        "a large {}.",
        "a little {}.",
        "a corner of the room with a {} in it.",
    ),
    "objects-small": (
        "a tiny picture of a {}.",
        "a thumbnail of a {}.",
        "a coarse, pixelated picture of a {}.",
        "a {} in only a few pixels.",
        "a blurry little photo of a {}.",
        "a {}, hard to make out.",
        "an enlarged thumbnail that shows a {}.",
        "a {} that fills the picture.",
    ),
    "drawings": (
        "an icon of a {}.",
        "an emoji showing a {}.",
        "a picture of {}",
        "a simple drawing of a {}.",
        "a colourful cartoon of a {}.",
        "a pictogram that stands for {}.",
        "a sticker with a {} on it.",
        "a flat, clean illustration of a {}.",
    ),
}

_ARTICLE = re.compile(r"\b(an?) \{\}", re.IGNORECASE)
_HAS_ARTICLE = re.compile(r"(an?|the) ", re.IGNORECASE)
_VOWEL_SOUND = re.compile(r"[aeiou]|heir|honest|honou?r|hour|x-?ray", re.IGNORECASE)
_CONSONANT_SOUND = re.compile(r"eu|ewe|one\b|once|uni(?!n)|us[aeiu]|uk|ut[eio]|uri|u-", re.IGNORECASE)


def templates_for(name_or_list: str | Sequence[str]) -> tuple[str, ...]:
    """The templates of that name in `TEMPLATES`, or the given ones, checked: each holds `{}` exactly once.

    A single string with `{}` in it is one template. Raises UsageError.
    """
    if isinstance(name_or_list, str):
        if name_or_list in TEMPLATES:
            return TEMPLATES[name_or_list]
        if "{" not in name_or_list:
            near = difflib.get_close_matches(name_or_list, TEMPLATES, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise UsageError(f"no templates are called {name_or_list!r}{hint}; there are {', '.join(TEMPLATES)}")
        name_or_list = (name_or_list,)
    if not name_or_list:
        raise UsageError('no templates are given; give at least one, "{}" for the bare class name')
    for template in name_or_list:
        if template.count("{}") != 1:
            raise UsageError(f"template {template!r} holds {{}} {template.count('{}')} times; write it exactly once")
    return tuple(name_or_list)


def fill(template: str, name: str) -> str:
    """The template with the class name in place of `{}`, and with the article that fits.

    >>> fill("a photo of a {}.", "apple"), fill("a photo of a {}.", "the moon")
    ('a photo of an apple.', 'a photo of the moon.')
    """

    def article(found: re.Match[str]) -> str:
        if _HAS_ARTICLE.match(name):
            return "{}"
        first = found[1][0]
        return f"{first}n {{}}" if _VOWEL_SOUND.match(name) and not _CONSONANT_SOUND.match(name) else f"{first} {{}}"

    return _ARTICLE.sub(article, template).replace("{}", name)
