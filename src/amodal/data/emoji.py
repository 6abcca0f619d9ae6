"""The bundled emoji pictures as a `Table`, and the captions made from their names and keywords."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from amodal.core.errors import DataError
from amodal.data.pictures import BytesRef
from amodal.data.rows import Row, SkipLog, Table, finished_table

STYLES = ("noto", "twemoji")
_ATTRIBUTES = ("style", "concept", "split", "group", "subgroup", "gender", "skin_tone")


def bundled_table(styles: Sequence[str] = STYLES, variants: Literal["base", "all"] = "base") -> Table:
    """A row a picture: of each base emoji, or of all with their skin tones and genders, in the given styles.

    key: "noto/1f600"; captions: see `phrasings`; pair: the concept, which all vendors, tones and genders share;
    attributes: label (the name) and style, concept, split, group, subgroup, gender, skin_tone. Raises DataError for
    an unknown style.
    """
    from amodal.data.bundled import load_emojis, load_pictures

    unknown = [style for style in styles if style not in STYLES]
    if unknown or not styles:
        raise DataError(
            f"the bundled set has no style {', '.join(unknown) or '(none given)'}; it has {', '.join(STYLES)}"
        )
    emojis = {emoji["emoji"]: emoji for emoji in _records(load_emojis()) if variants == "all" or emoji["base"]}
    rows = [
        _row(picture, emojis[picture["emoji"]])
        for picture in _records(load_pictures())
        if picture["style"] in styles and picture["emoji"] in emojis
    ]
    classes = dict.fromkeys(row.attributes["label"] for row in rows)
    return finished_table("bundled", rows, SkipLog(), len(rows), tuple(classes))


def phrasings(name: str, keywords: Sequence[str], group: str, subgroup: str) -> tuple[str, ...]:
    """Captions of one emoji: first its name with its keywords, second its name, then what people might say."""
    told = [word for word in dict.fromkeys(keywords) if word and word.casefold() != name.casefold()]
    kind = subgroup.replace("-", " ")
    captions = [f"{name}: {', '.join(told)}" if told else name, name]
    captions += [f"a picture of {name}", f"an emoji showing {name}"]
    if kind:
        captions.append(f"{name} ({kind})")
    if group and kind:
        captions.append(f"{name}, one of {group.lower()}, {kind}")
    if told:
        captions += [" ".join(told[:3]), f"something about {' and '.join(told[:2])}"]
    return tuple(dict.fromkeys(captions))


def _row(picture: Mapping[str, Any], emoji: Mapping[str, Any]) -> Row:
    values = {"label": emoji["name"], **{name: {**emoji, **picture}.get(name) for name in _ATTRIBUTES}}
    return Row(
        key=_key(picture["key"], picture["style"]),
        picture=BytesRef(picture["image"]),
        captions=phrasings(emoji["name"], emoji["keywords"] or (), emoji["group"] or "", emoji["subgroup"] or ""),
        pair=emoji["concept"],
        attributes={name: str(value) for name, value in values.items() if value},
    )


def _key(key: str, style: str) -> str:
    return key if key.startswith(f"{style}/") else f"{style}/{key}"


def _records(table: Any) -> Iterable[Mapping[str, Any]]:
    """The rows of an Arrow table, or of a list that is rows already."""
    return table.to_pylist() if hasattr(table, "to_pylist") else table
