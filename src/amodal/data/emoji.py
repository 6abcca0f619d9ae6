"""The bundled emoji pictures as a `Table`, and the captions made from their names and keywords."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from amodal.core.errors import UsageError
from amodal.data.bundled import STYLES, load_emojis, load_pictures
from amodal.data.pictures import BytesRef
from amodal.data.rows import Row, SkipLog, Table, finished_table

_ATTRIBUTES = ("style", "concept", "split", "group", "subgroup", "gender", "skin_tone")


def bundled_table(styles: Sequence[str] = STYLES, variants: Literal["base", "all"] = "base") -> Table:
    """A row a picture: of each base emoji, or of all with their skin tones and genders, in the given styles.

    key: "noto/1f600"; captions: see `phrasings`; pair: the concept, which all vendors, tones and genders share;
    attributes: label (the name) and style, concept, split, group, subgroup, gender, skin_tone. Raises UsageError
    for an unknown style or none.
    """
    if not styles:
        raise UsageError(f"no style of the bundled set is named; name one of {', '.join(STYLES)}")
    emojis = {emoji["emoji"]: emoji for emoji in load_emojis().to_pylist() if variants == "all" or emoji["base"]}
    pictures = load_pictures(styles).to_pylist()
    rows = [_row(picture, emojis[picture["emoji"]]) for picture in pictures if picture["emoji"] in emojis]
    classes = dict.fromkeys(row.attributes["label"] for row in rows)
    return finished_table("bundled", rows, SkipLog(), len(rows), tuple(classes))


def phrasings(name: str, keywords: Sequence[str], group: str, subgroup: str) -> tuple[str, ...]:
    """Captions of one emoji: first its name with its keywords, second its name, then what people might say."""
    told = [word for word in dict.fromkeys(keywords) if word and word.casefold() != name.casefold()]
    spoken = name.replace("flag: ", "flag of ").replace(": ", " with ")
    kind, kinds = subgroup.replace("-", " "), group.lower().replace("&", "and")
    captions = [f"{name}: {', '.join(told)}" if told else name, name]
    captions += [f"a picture of {spoken}", f"an emoji showing {spoken}"]
    if kind:
        captions.append(f"{spoken} ({kind})")
    if kinds:
        captions.append(f"{spoken}, from {kinds}")
    if len(told) >= 3:  # fewer say too little: "flag" alone would name hundreds of pictures
        captions += [" ".join(told[:3]), f"something about {' and '.join(told[:2])}"]
    return tuple(dict.fromkeys(captions))


def _row(picture: Mapping[str, Any], emoji: Mapping[str, Any]) -> Row:
    values = {"label": emoji["name"], **{name: {**emoji, **picture}.get(name) for name in _ATTRIBUTES}}
    return Row(
        key=picture["key"],
        picture=BytesRef(picture["image"]),
        captions=phrasings(emoji["name"], emoji["keywords"] or (), emoji["group"] or "", emoji["subgroup"] or ""),
        pair=emoji["concept"],
        attributes={name: str(value) for name, value in values.items() if value},
    )
