"""Captions of the bundled emoji, and the table of them."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

import amodal.data.emoji
from amodal.core.errors import UsageError
from amodal.data.emoji import bundled_table, phrasings


def webp(colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (2, 2), (colour, 0, 0)).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


def emoji(character: str, name: str, *, base: bool = True, **more: Any) -> dict[str, Any]:
    usual = {"keywords": ["hand", "wave"], "group": "People & Body", "subgroup": "hand-fingers-open", "gender": None}
    return {"emoji": character, "name": name, "base": base, "concept": "1f44b", "split": "train", **usual, **more}


@pytest.fixture
def small_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    emojis = [
        emoji("1f44b", "waving hand", skin_tone=None),
        emoji("1f44b-1f3fb", "waving hand: light skin tone", base=False, skin_tone="light"),
        emoji("1f436", "dog face", skin_tone=None, concept="1f436", split="test"),
    ]
    pictures = [
        {"key": f"{style}/{each['emoji']}", "style": style, "emoji": each["emoji"], "image": webp(9)}
        for style in ("noto", "twemoji")
        for each in emojis
    ]

    def load_pictures(styles: Sequence[str]) -> pa.Table:
        return pa.Table.from_pylist([picture for picture in pictures if picture["style"] in styles])

    monkeypatch.setattr(amodal.data.emoji, "load_emojis", lambda: pa.Table.from_pylist(emojis))
    monkeypatch.setattr(amodal.data.emoji, "load_pictures", load_pictures)


def test_phrasings_begin_with_keywords_then_the_name() -> None:
    said = phrasings("dog face", ["dog", "pet", "dog face", "dog", "bark"], "Animals & Nature", "animal-mammal")
    assert said[:2] == ("dog face: dog, pet, bark", "dog face")
    assert len(set(said)) == len(said) > 4
    assert "dog pet bark" in said
    assert "flag" not in phrasings("flag: Wales", ["flag"], "Flags", "subdivision-flag")


def test_phrasings_without_keywords_or_group() -> None:
    said = phrasings("dog face", [], "", "")
    assert said[0] == "dog face"
    assert len(set(said)) == len(said)
    assert not [caption for caption in said if "()" in caption or caption.endswith((" ", ":", ","))]


def test_phrasings_speak_the_colon() -> None:
    assert "a picture of flag of Wales" in phrasings("flag: Wales", ["flag"], "Flags", "subdivision-flag")
    assert "a picture of hand with dark skin tone" in phrasings("hand: dark skin tone", [], "", "")


@pytest.mark.usefixtures("small_bundle")
def test_base_emojis_of_both_styles() -> None:
    table = bundled_table()
    assert [row.key for row in table.rows] == ["noto/1f44b", "noto/1f436", "twemoji/1f44b", "twemoji/1f436"]
    hand = table.rows[0]
    assert hand.captions[:2] == ("waving hand: hand, wave", "waving hand")
    assert hand.pair == table.rows[2].pair == "1f44b"
    assert hand.attributes["label"] == "waving hand"
    assert {"style": "noto", "concept": "1f44b", "split": "train"}.items() <= hand.attributes.items()
    assert "skin_tone" not in hand.attributes
    assert hand.picture.image().getpixel((0, 0)) == (9, 0, 0)
    assert table.classes == ("waving hand", "dog face")
    assert len(table.split("test")) == 2


@pytest.mark.usefixtures("small_bundle")
def test_all_variants_of_one_style() -> None:
    table = bundled_table(styles=("twemoji",), variants="all")
    assert [row.key for row in table.rows] == ["twemoji/1f44b", "twemoji/1f44b-1f3fb", "twemoji/1f436"]
    assert table.rows[1].attributes["skin_tone"] == "light"
    assert table.rows[1].pair == table.rows[0].pair


def test_unknown_style() -> None:
    with pytest.raises(UsageError, match="no style apple; it has noto, twemoji"):
        bundled_table(styles=("apple",))
    with pytest.raises(UsageError, match="name one of noto, twemoji"):
        bundled_table(styles=())


def test_the_real_bundle() -> None:
    table = bundled_table()
    assert len(table) > 2000
    assert len({row.key for row in table.rows}) == len(table)
    assert sum(1 for row in bundled_table(variants="all").rows) > len(table)
    splits: dict[str, set[str]] = {}
    for row in table.rows:
        splits.setdefault(row.pair, set()).add(row.attributes["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert table.rows[0].picture.image().mode == "RGB"
