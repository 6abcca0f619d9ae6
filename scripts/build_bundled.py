"""Builds the bundled emoji set (`src/amodal/data/bundled/*.parquet`, `split.csv`) from four npm packages.

    python scripts/build_bundled.py [NODE_MODULES] [--out FOLDER]

Without NODE_MODULES, `npm ci` fetches the pinned packages into `scripts/bundled/` first.

An *emoji* is one Unicode sequence; its id is its code points in lower-case hexadecimal, joined by "-" ("1f600").
A *concept* is everything that is one thing to a reader of its caption: all skin tones, genders
and mirrored pictures of one emoji (`concept_key`). What has a name of its own is a concept of its own: each
country's flag, each keycap, each arrow and pointing finger (their direction is their meaning), each phase of the moon,
each colour of hair; the two clock faces of an hour (one o'clock, one-thirty) are one.
The split is by concept, and concepts that own the same picture to the pixel (the flags of Norway and Bouvet Island)
are on one side, so that no test picture was seen in training. `split.csv` is the fixed truth: concepts that it names
keep their side for ever, new ones get theirs from a seeded hash.
"""

import argparse
import csv
import hashlib
import io
import json
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
OUT = REPOSITORY / "src/amodal/data/bundled"
STYLES = {"noto": "google", "twemoji": "twitter"}
TONES = {"1f3fb": "light", "1f3fc": "medium-light", "1f3fd": "medium", "1f3fe": "medium-dark", "1f3ff": "dark"}
SALT = "amodal-bundled-1:"
SHARES = (("train", 0.7), ("validation", 0.8), ("test", 1.0))  # upper ends: 70 %, 10 %, 20 %
LEAST_NAMES = 500  # a language with fewer names among the set's emoji is left out
# The flag of Sark: emoji-datasource-google 16.0.0 shows Saudi Arabia's flag in its place.
WRONG_PICTURE = frozenset({"1f1e8-1f1f6"})

MAN, WOMAN, PERSON = "1f468", "1f469", "1f9d1"
BOY, GIRL, CHILD = "1f466", "1f467", "1f9d2"
ADULTS, CHILDREN = {MAN, WOMAN, PERSON}, {BOY, GIRL, CHILD}
WOMAN_SIGN, MAN_SIGN, TO_THE_RIGHT = "2640", "2642", "27a1"
HEART, KISS_MARK, HANDSHAKE = "2764", "1f48b", "1f91d"
# Sequences whose gender or direction is in the code point itself -> the sequence they are a variant of.
SAME = {
    **dict.fromkeys((MAN, WOMAN), PERSON),
    **dict.fromkeys((BOY, GIRL), CHILD),
    **dict.fromkeys(("1f474", "1f475"), "1f9d3"),  # old man, old woman -> older person
    **dict.fromkeys(("1f934", "1f478"), "1fac5"),  # prince, princess -> person with crown
    **dict.fromkeys(("1f385", "1f936"), "1f9d1-1f384"),  # Santa Claus, Mrs. Claus -> Mx Claus
    **dict.fromkeys(("1f930", "1fac3"), "1fac4"),  # pregnant woman, pregnant man -> pregnant person
    "1f57a": "1f483",  # man dancing -> woman dancing (there is no dancing person)
    "1f931": "1f9d1-1f37c",  # breast-feeding -> person feeding baby
    **dict.fromkeys(("1f46b", "1f46c", "1f46d"), "1f9d1-1f91d-1f9d1"),  # two people holding hands
    "1faf1-1faf2": HANDSHAKE,  # a handshake of two tones
    "1f91c": "1f91b",  # right-facing fist -> left-facing fist
    "1faf8": "1faf7",  # pushing hands
    "1faf2": "1faf1",  # rightwards and leftwards hand
    "1f50e": "1f50d",  # magnifying glass tilted right -> left
}
# Gender of single code points; of a sequence, see `gender`.
WOMEN = {WOMAN, GIRL, "1f475", "1f478", "1f936", "1f483", "1f930", "1f931", "1f46d", "1f9d5"}
MEN = {MAN, BOY, "1f474", "1f934", "1f385", "1f57a", "1fac3", "1f46c"}


@dataclass(frozen=True, kw_only=True)
class Emoji:
    """One emoji as the datasource lists it; `order` is its place in the standard's own order."""

    id: str
    group: str
    subgroup: str
    order: int

    @property
    def character(self) -> str:
        """The text of the emoji."""
        return "".join(chr(int(part, 16)) for part in self.id.split("-"))


def bare(emoji: str) -> list[str]:
    """The code points of an emoji id without tones, joiners and presentation selectors; a lone swatch stays."""
    parts = [part for part in emoji.split("-") if part not in ("200d", "fe0f")]
    return [part for part in parts if part not in TONES] or parts


def concept_key(emoji: str) -> str:
    """What stands for the concept of an emoji id: equal for all tones, genders and directions of one thing.

    It need not be an emoji itself: `build_emojis` names a concept by its base emoji.
    """
    parts = bare(emoji)
    if len(parts) > 1:
        parts = [part for part in parts if part not in (WOMAN_SIGN, MAN_SIGN, TO_THE_RIGHT)]
    people = [part for part in parts if part in ADULTS | CHILDREN]
    if len(people) == len(parts) > 1:
        return "1f46a"  # family
    if people and HEART in parts:
        return "1f48f" if KISS_MARK in parts else "1f491"
    if parts[0] in ADULTS and len(parts) > 1:
        parts = [PERSON if part in ADULTS else part for part in parts]
    code = int(parts[0], 16)
    if 0x1F550 <= code <= 0x1F567:  # twelve full hours, then twelve half hours
        return f"{0x1F550 + (code - 0x1F550) % 12:x}"
    key = "-".join(parts)
    return SAME.get(key, key)


def gender(emoji: str) -> str:
    """ "woman" or "man" when the emoji shows that gender alone, else "". Of families only the adults count."""
    parts = bare(emoji)
    if len(parts) > 1 and set(parts) <= ADULTS | CHILDREN:
        parts = [part for part in parts if part in ADULTS]
    signs = parts[1:]
    woman = any(part in WOMEN for part in parts) or WOMAN_SIGN in signs
    man = any(part in MEN for part in parts) or MAN_SIGN in signs
    return "" if woman == man else ("woman" if woman else "man")


def skin_tone(emoji: str) -> str:
    """The tone's name, two different ones of a pair joined by "+", "" for none and for a lone swatch."""
    tones = [TONES[part] for part in emoji.split("-") if part in TONES]
    return "" if emoji in TONES else "+".join(dict.fromkeys(tones))


def split_of(concept: str) -> str:
    """The side of a concept that split.csv does not name: a salted hash, the same on every machine."""
    digest = hashlib.sha256((SALT + concept).encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    return next(name for name, end in SHARES if position < end)


def base_of(emojis: Iterable[Emoji]) -> Emoji:
    """The emoji that stands for its concept: without tone, and the one the others are variants of; else the first."""
    return min(emojis, key=lambda e: (skin_tone(e.id) != "", "-".join(bare(e.id)) != concept_key(e.id), e.order))


def read_emojis(modules: Path) -> list[Emoji]:
    """Every emoji, skin tones included, that has a picture in both styles, in the standard's order."""
    entries = json.loads((modules / "emoji-datasource-google/emoji.json").read_text(encoding="utf-8"))
    found = []
    for entry in sorted(entries, key=lambda entry: entry["sort_order"]):
        for variant in (entry, *entry.get("skin_variations", {}).values()):
            name = variant["unified"].lower()
            if name not in WRONG_PICTURE and all(picture_path(modules, style, name).is_file() for style in STYLES):
                found.append(
                    Emoji(id=name, group=entry["category"], subgroup=entry["subcategory"], order=len(found)),
                )
    return found


def picture_path(modules: Path, style: str, emoji: str) -> Path:
    """Where the packages keep the 64 px picture of an emoji."""
    vendor = STYLES[style]
    return modules / f"emoji-datasource-{vendor}/img/{vendor}/64/{emoji}.png"


def lossless_webp(picture: Image.Image) -> bytes:
    """An RGBA picture as WebP bytes that decode to the same pixels, the unseen ones included; checked here."""
    stream = io.BytesIO()
    picture.save(stream, "WEBP", lossless=True, quality=90, method=6, exact=True)
    with Image.open(io.BytesIO(stream.getvalue())) as decoded:
        if decoded.convert("RGBA").tobytes() != picture.tobytes():
            raise ValueError("a picture does not survive the WebP round trip; mend Pillow's libwebp")
    return stream.getvalue()


def build_pictures(modules: Path, emojis: list[Emoji]) -> tuple[pa.Table, dict[tuple[str, str], list[str]]]:
    """The table of pictures, and which emoji share each picture: (style, hash of its pixels) -> emoji ids."""
    rows: list[dict[str, object]] = []
    owners: dict[tuple[str, str], list[str]] = defaultdict(list)
    for style in STYLES:
        for emoji in emojis:
            with Image.open(picture_path(modules, style, emoji.id)) as opened:
                picture = opened.convert("RGBA")
            image = lossless_webp(picture)
            rows.append({"key": f"{style}/{emoji.id}", "style": style, "emoji": emoji.id, "image": image})
            owners[style, hashlib.sha256(picture.tobytes()).hexdigest()].append(emoji.id)
    text = {name: pa.string() for name in ("key", "style", "emoji")}
    return pa.Table.from_pylist(rows, schema=pa.schema({**text, "image": pa.binary()})), owners


def read_language(modules: Path, language: str) -> dict[str, tuple[str, list[str]]]:
    """Of one CLDR language: character without presentation selectors -> (name, keywords without the name)."""
    found = {}
    for package, kind in (("derived-full", "annotationsDerived"), ("full", "annotations")):
        path = modules / f"cldr-annotations-{package}/{kind}/{language}/annotations.json"
        entries = json.loads(path.read_text(encoding="utf-8"))[kind] if path.is_file() else {}
        for character, entry in entries.get("annotations", {}).items():
            name = ", ".join(entry.get("tts", ()))  # a handful of names hold the separator of lists
            if name:
                found[character] = (name, [word for word in entry.get("default", ()) if word != name])
    return found


def cldr_languages(modules: Path) -> list[str]:
    """Every language tag that the annotations have, sorted."""
    return sorted(path.parent.name for path in (modules / "cldr-annotations-full/annotations").glob("*/*.json"))


def build_languages(modules: Path, emojis: list[Emoji]) -> list[pa.Table]:
    """One table a language with at least `LEAST_NAMES` names, in the order of the tags.

    Emoji with a skin tone are left out to halve the file; their English names are in the table of emoji.
    """
    schema = pa.schema(
        {"emoji": pa.string(), "language": pa.string(), "name": pa.string(), "keywords": pa.list_(pa.string())}
    )
    tables = []
    for language in cldr_languages(modules):
        said = read_language(modules, language)
        named = [
            (emoji.id, said.get(emoji.character.replace("\ufe0f", ""))) for emoji in emojis if not skin_tone(emoji.id)
        ]
        rows = [
            {"emoji": emoji, "language": language, "name": entry[0], "keywords": entry[1]}
            for emoji, entry in named
            if entry is not None
        ]
        if len(rows) >= LEAST_NAMES:
            tables.append(pa.Table.from_pylist(rows, schema=schema))
    return tables


def bases(emojis: list[Emoji]) -> dict[str, str]:
    """Emoji id -> id of its concept, which is the id of the concept's base emoji."""
    members: dict[str, list[Emoji]] = defaultdict(list)
    for emoji in emojis:
        members[concept_key(emoji.id)].append(emoji)
    return {emoji.id: base_of(group).id for group in members.values() for emoji in group}


def twins(concepts: dict[str, str], owners: Iterable[list[str]]) -> list[list[str]]:
    """The concepts in groups, sorted: those that share a picture to the pixel, directly or by others, are together."""
    group_of = {concept: {concept} for concept in concepts.values()}
    for emojis in owners:
        joined = set().union(*(group_of[concepts[emoji]] for emoji in emojis))
        for concept in joined:
            group_of[concept] = joined
    return sorted({tuple(sorted(group)): sorted(group) for group in group_of.values()}.values())


def assign_splits(groups: list[list[str]], fixed: dict[str, str]) -> dict[str, str]:
    """Concept -> split. `fixed` is kept; a new concept follows a fixed twin, else the hash of its group's first."""
    splits = {}
    for group in groups:
        known = [fixed[concept] for concept in group if concept in fixed]
        side = known[0] if known else split_of(group[0])
        splits.update({concept: fixed.get(concept, side) for concept in group})
    return splits


def read_split(path: Path) -> dict[str, str]:
    """split.csv as concept -> split; empty when there is none yet."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["concept"]: row["split"] for row in csv.DictReader(stream)}


def write_split(path: Path, splits: dict[str, str]) -> None:
    """Writes concept -> split, sorted by concept."""
    lines = [f"{concept},{side}\n" for concept, side in sorted(splits.items())]
    path.write_text("concept,split\n" + "".join(lines), encoding="utf-8", newline="\n")


def build_emojis(modules: Path, emojis: list[Emoji], concepts: dict[str, str], splits: dict[str, str]) -> pa.Table:
    """The table of emoji with their English names, concepts and splits."""
    english = read_language(modules, "en")
    rows = []
    for emoji in emojis:
        name, keywords = english[emoji.character.replace("\ufe0f", "")]
        concept = concepts[emoji.id]
        rows.append(
            {
                "emoji": emoji.id,
                "character": emoji.character,
                "name": name,
                "keywords": keywords,
                "group": emoji.group,
                "subgroup": emoji.subgroup,
                "concept": concept,
                "gender": gender(emoji.id),
                "skin_tone": skin_tone(emoji.id),
                "base": emoji.id == concept,
                "split": splits[concept],
            }
        )
    return pa.Table.from_pylist(rows)


def write_table(path: Path, tables: list[pa.Table], dictionaries: list[str]) -> None:
    """Writes one row group a table at zstd level 19; measured, a dictionary pays only in columns of few values."""
    schema = tables[0].schema
    options: dict[str, Any] = {"compression": "zstd", "compression_level": 19, "use_dictionary": dictionaries}
    with pq.ParquetWriter(path, schema, **options) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=len(table))


def build(modules: Path, out: Path) -> None:
    """Reads the packages under `modules`, writes the three tables and split.csv into `out`, prints what was built."""
    out.mkdir(parents=True, exist_ok=True)
    emojis = read_emojis(modules)
    concepts = bases(emojis)
    pictures, owners = build_pictures(modules, emojis)
    splits = assign_splits(twins(concepts, owners.values()), read_split(out / "split.csv"))
    table = build_emojis(modules, emojis, concepts, splits)
    languages = build_languages(modules, emojis)
    write_table(out / "pictures.parquet", [pictures], ["style"])
    write_table(out / "emojis.parquet", [table], ["group", "subgroup", "gender", "skin_tone", "split"])
    write_table(out / "languages.parquet", languages, ["language"])
    write_split(out / "split.csv", splits)
    counts = {side: list(splits.values()).count(side) for side, _ in SHARES}
    print(f"{len(emojis)} emoji, {len(pictures)} pictures, {len(splits)} concepts {counts}, {len(languages)} languages")
    for path in sorted(out.glob("*.parquet")):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


def install(folder: Path) -> Path:
    """Fetches the pinned packages with `npm ci` -> their node_modules."""
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True)
    return folder / "node_modules"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build the bundled emoji set.")
    parser.add_argument(
        "modules", nargs="?", type=Path, help="a node_modules folder (default: npm ci in scripts/bundled)"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the tables and split.csv")
    arguments = parser.parse_args()
    build(arguments.modules or install(REPOSITORY / "scripts/bundled"), arguments.out)


if __name__ == "__main__":
    main()
