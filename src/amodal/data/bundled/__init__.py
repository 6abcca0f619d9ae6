"""The set that comes with the package: emoji pictures, their names in over a hundred languages, a few photographs.

What is in it, from where and under which licence: `README.md` and `LICENSES/` beside this file, and
`photos/LICENSES.md`. `scripts/build_bundled.py` builds the tables.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amodal.core.errors import UsageError

if TYPE_CHECKING:
    import pyarrow

FOLDER = Path(__file__).parent
PHOTOS = FOLDER.parent / "photos"
STYLES = ("noto", "twemoji")
ATTRIBUTION = (
    "Emoji pictures: Noto Emoji, © Google LLC, licensed under Apache-2.0; "
    "Twemoji, © Twitter, Inc and other contributors, licensed under CC-BY 4.0 "
    "(https://creativecommons.org/licenses/by/4.0/). "
    "Names: Unicode CLDR, © Unicode, Inc., licensed under Unicode-3.0."
)


def load_emojis() -> "pyarrow.Table":
    """One row an emoji.

    Columns: emoji (its id), character, name and keywords (English), group, subgroup, concept (the id of the emoji that
    stands for all tones, genders and directions), gender ("", "woman", "man"), skin_tone ("" for none, two of a pair
    joined by "+"), base (bool: this emoji is the one its concept is named after), split ("train", "validation",
    "test", the same for a whole concept).
    """
    import pyarrow.parquet as pq

    return pq.read_table(FOLDER / "emojis.parquet")


def load_pictures(styles: Sequence[str] = STYLES) -> "pyarrow.Table":
    """One row a picture of the named styles: key ("noto/1f600"), style, emoji, image (WebP bytes, 64 x 64 RGBA).

    Raises `UsageError` for a style that the set does not have.
    """
    import pyarrow.parquet as pq

    unknown = sorted(set(styles) - set(STYLES))
    if unknown:
        raise UsageError(f"the bundled set has no style {', '.join(unknown)}; it has {', '.join(STYLES)}")
    return pq.read_table(FOLDER / "pictures.parquet", filters=[("style", "in", list(styles))])


def load_languages(language: str) -> "pyarrow.Table":
    """One row an emoji named in `language` (a CLDR tag): emoji, language, name, keywords; no emoji with skin tones.

    Raises `UsageError` for a language that the set does not have.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(FOLDER / "languages.parquet", filters=[("language", "==", language)])
    if len(table) == 0:
        raise UsageError(f"the bundled set has no language {language!r}; it has {', '.join(languages())}")
    return table


def languages() -> list[str]:
    """The CLDR tags of the languages that name the set's emoji, sorted."""
    import pyarrow.parquet as pq

    column = pq.read_table(FOLDER / "languages.parquet", columns=["language"])["language"]
    return sorted(column.unique().to_pylist())


def photos() -> dict[str, Path]:
    """What each photograph shows ("cat", "coffee", "rocket" ...) -> its JPEG file."""
    return {path.stem: path for path in sorted(PHOTOS.glob("*.jpg"))}
