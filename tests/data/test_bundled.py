"""The bundled set is what its README says, and the script that builds it decides as it says."""

import csv
import importlib.util
import io
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest
from PIL import Image

from amodal.core.errors import UsageError
from amodal.data import bundled

REPOSITORY = Path(__file__).resolve().parents[2]
FEMALE, MALE, JOIN = "200d-2640-fe0f", "200d-2642-fe0f", "200d"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """scripts/build_bundled.py as a module."""
    spec = importlib.util.spec_from_file_location("build_bundled", REPOSITORY / "scripts/build_bundled.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def emojis() -> list[dict]:
    return bundled.load_emojis().to_pylist()


@pytest.fixture(scope="module")
def by_id(emojis: list[dict]) -> dict[str, dict]:
    return {row["emoji"]: row for row in emojis}


@pytest.fixture(scope="module")
def pictures() -> pa.Table:
    return bundled.load_pictures()


def test_columns(pictures: pa.Table) -> None:
    assert pictures.column_names == ["key", "style", "emoji", "image"]
    names = "emoji character name keywords group subgroup concept gender skin_tone base split"
    assert bundled.load_emojis().column_names == names.split()
    assert bundled.load_languages("de").column_names == ["emoji", "language", "name", "keywords"]


def test_counts(emojis: list[dict]) -> None:
    assert len(emojis) >= 3_700
    sides = {row["concept"]: row["split"] for row in emojis}
    counts = Counter(sides.values())
    assert len(sides) >= 1_600
    assert set(counts) == {"train", "validation", "test"}
    assert counts["test"] >= 350
    assert 0.65 <= counts["train"] / len(sides) <= 0.75


def test_ids_are_unique_and_spell_the_character(emojis: list[dict], pictures: pa.Table) -> None:
    assert len({row["emoji"] for row in emojis}) == len(emojis)
    assert all("-".join(f"{ord(c):04x}" for c in row["character"]) == row["emoji"] for row in emojis)
    keys = pictures["key"].to_pylist()
    assert len(set(keys)) == len(keys)
    styles, ids = pictures["style"].to_pylist(), pictures["emoji"].to_pylist()
    assert keys == [f"{style}/{emoji}" for style, emoji in zip(styles, ids, strict=True)]


def test_every_emoji_is_drawn_in_both_styles(emojis: list[dict], pictures: pa.Table) -> None:
    drawn = set(pictures["key"].to_pylist())
    assert drawn == {f"{style}/{row['emoji']}" for row in emojis for style in bundled.STYLES}


def test_pictures_decode_to_64_px_rgba(pictures: pa.Table) -> None:
    for image in pictures["image"].to_pylist()[::20]:
        with Image.open(io.BytesIO(image)) as picture:
            assert picture.format == "WEBP"
            assert picture.size == (64, 64)
            assert max(picture.convert("RGBA").getchannel("A").tobytes()) > 200  # something opaque is drawn


def test_each_concept_is_on_one_side_and_has_one_base(emojis: list[dict]) -> None:
    sides: dict[str, set[str]] = {}
    for row in emojis:
        sides.setdefault(row["concept"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert sorted(row["emoji"] for row in emojis if row["base"]) == sorted(sides)
    assert all(row["skin_tone"] == "" and row["concept"] == row["emoji"] for row in emojis if row["base"])


def test_no_picture_is_on_two_sides(by_id: dict[str, dict], pictures: pa.Table) -> None:
    sides: dict[bytes, set[str]] = {}
    for emoji, image in zip(pictures["emoji"].to_pylist(), pictures["image"].to_pylist(), strict=True):
        sides.setdefault(image, set()).add(by_id[emoji]["split"])
    assert len(sides) < len(pictures)  # there are twins, for example the flags of France and St. Martin
    assert all(len(side) == 1 for side in sides.values())


@pytest.mark.parametrize(
    ("base", "variants"),
    [
        ("1f9d1-200d-2695-fe0f", ["1f468-200d-2695-fe0f", "1f469-200d-2695-fe0f", "1f469-1f3ff-200d-2695-fe0f"]),
        ("1f44b", ["1f44b-1f3fb", "1f44b-1f3ff"]),  # waving hand
        ("1fac5", ["1f934", "1f478", "1f478-1f3fd"]),  # prince, princess
        ("1f9d1-200d-1f384", ["1f385", "1f936", "1f936-1f3fe"]),  # Santa Claus, Mrs. Claus
        ("1f9d3", ["1f474", "1f475"]),  # old man, old woman
        ("1f483", ["1f57a", "1f57a-1f3fc"]),  # woman dancing, man dancing
        ("1fac4", ["1f930", "1fac3"]),  # pregnant woman, pregnant man
        ("1f3c3", ["1f3c3-200d-27a1-fe0f", "1f3c3-1f3fb-200d-2640-fe0f-200d-27a1-fe0f"]),  # running, facing right
        ("1f9d2", ["1f466", "1f467"]),  # boy, girl
        ("1f46a", ["1f468-200d-1f467", "1f469-200d-1f469-200d-1f466-200d-1f466"]),  # families
        ("1f48f", ["1f468-200d-2764-fe0f-200d-1f48b-200d-1f468"]),
        ("1f491", ["1f469-1f3fb-200d-2764-fe0f-200d-1f469-1f3ff"]),
        ("1f9d1-200d-1f91d-200d-1f9d1", ["1f46b", "1f46c", "1f46d-1f3fb"]),  # holding hands
        ("1f91d", ["1faf1-1f3fb-200d-1faf2-1f3ff"]),  # handshake
    ],
)
def test_variants_are_one_concept(by_id: dict[str, dict], base: str, variants: list[str]) -> None:
    assert by_id[base]["base"]
    assert {by_id[emoji]["concept"] for emoji in variants} == {base}


def test_different_things_are_different_concepts(by_id: dict[str, dict]) -> None:
    apart = ["1f1eb-1f1f7", "1f1f2-1f1eb", "0031-fe0f-20e3", "0032-fe0f-20e3", "1f311", "1f312", "1f448", "1f449"]
    apart += ["2764-fe0f", "2764-fe0f-200d-1f525", "1f9d1-200d-1f9b0", "1f9d1-200d-1f9b1", "2640-fe0f", "2642-fe0f"]
    assert len({by_id[emoji]["concept"] for emoji in apart}) == len(apart)


def test_the_flag_that_its_source_got_wrong_is_left_out(by_id: dict[str, dict]) -> None:
    assert "1f1e8-1f1f6" not in by_id


def test_english_names(by_id: dict[str, dict]) -> None:
    grin = by_id["1f600"]
    assert grin["name"] == "grinning face"
    assert "smile" in grin["keywords"]
    toned = by_id["1f469-1f3fd-200d-2695-fe0f"]
    assert (toned["name"], toned["gender"], toned["skin_tone"]) == (
        "woman health worker: medium skin tone",
        "woman",
        "medium",
    )
    assert all(row["name"] and row["name"] not in row["keywords"] for row in by_id.values())


def test_over_a_hundred_languages_of_500_names(by_id: dict[str, dict]) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(bundled.FOLDER / "languages.parquet")
    counts = Counter(table["language"].to_pylist())
    assert len(counts) > 100
    assert min(counts.values()) >= 500
    assert sorted(counts) == bundled.languages()
    assert all(by_id[emoji]["skin_tone"] == "" for emoji in set(table["emoji"].to_pylist()))


def test_a_language_is_read_alone() -> None:
    german = bundled.load_languages("de")
    assert set(german["language"].to_pylist()) == {"de"}
    names = dict(zip(german["emoji"].to_pylist(), german["name"].to_pylist(), strict=True))
    assert names["1f600"] == "grinsendes Gesicht"


def test_unknown_language_and_style_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no language 'xx'.*de, dsb"):
        bundled.load_languages("xx")
    with pytest.raises(UsageError, match=r"no style apple.*noto, twemoji"):
        bundled.load_pictures(("noto", "apple"))


def test_one_style_is_read_alone() -> None:
    assert set(bundled.load_pictures(("twemoji",))["style"].to_pylist()) == {"twemoji"}


def test_split_file_is_what_the_table_says(emojis: list[dict]) -> None:
    with (bundled.FOLDER / "split.csv").open(encoding="utf-8", newline="") as stream:
        written = [(row["concept"], row["split"]) for row in csv.DictReader(stream)]
    assert len(dict(written)) == len(written)
    assert dict(written) == {row["concept"]: row["split"] for row in emojis}


def test_size_and_licences() -> None:
    assert sum(path.stat().st_size for path in bundled.FOLDER.glob("*.parquet")) <= 30_000_000
    told = {
        "Apache-2.0.txt": "Version 2.0, January 2004",
        "CC-BY-4.0.txt": "Creative Commons Attribution 4.0 International Public License",
        "MIT-emoji-data.txt": "Copyright (c) 2013 Cal Henderson",
        "Unicode-3.0.txt": "UNICODE LICENSE V3",
    }
    readme = (bundled.FOLDER / "README.md").read_text(encoding="utf-8")
    for name, words in told.items():
        assert words in (bundled.FOLDER / "LICENSES" / name).read_text(encoding="utf-8")
        assert f"LICENSES/{name}" in readme
    assert " ".join(readme.replace("\n> ", " ").split()).count(bundled.ATTRIBUTION) == 1


def test_photos_are_small_and_licensed() -> None:
    photos = bundled.photos()
    assert {"cat", "coffee", "rocket"} <= set(photos)
    licences = (bundled.PHOTOS / "LICENSES.md").read_text(encoding="utf-8")
    for path in photos.values():
        assert f"`{path.name}`" in licences
        assert path.stat().st_size <= 60_000
        with Image.open(path) as picture:
            assert (picture.format, picture.mode) == ("JPEG", "RGB")
            assert max(picture.size) <= 512


def test_import_is_cheap() -> None:
    code = "import sys, amodal.data.bundled; sys.exit(any(m in sys.modules for m in ('pyarrow', 'torch', 'PIL')))"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


@pytest.mark.parametrize(
    ("emoji", "key", "gender", "tone"),
    [
        ("1f600", "1f600", "", ""),
        ("1f44b-1f3fb", "1f44b", "", "light"),
        ("1f3fb", "1f3fb", "", ""),  # a lone swatch is a thing, not a tone
        ("1f468-1f3ff-200d-1f33e", "1f9d1-1f33e", "man", "dark"),
        (f"1f575-fe0f-{FEMALE}", "1f575", "woman", ""),
        (f"1f3c3-1f3fd-{MALE}-200d-27a1-fe0f", "1f3c3", "man", "medium"),
        ("2640-fe0f", "2640", "", ""),
        ("1f468-200d-1f469-200d-1f466", "1f46a", "", ""),
        ("1f468-200d-1f467", "1f46a", "man", ""),
        ("1f469-1f3fb-200d-1f91d-200d-1f469-1f3ff", "1f9d1-1f91d-1f9d1", "woman", "light+dark"),
        ("1f469-1f3fc-200d-2764-fe0f-200d-1f468-1f3fc", "1f491", "", "medium-light"),
        ("2764-fe0f-200d-1f525", "2764-1f525", "", ""),
        ("1f55c", "1f550", "", ""),  # one-thirty, one o'clock
        ("1f1e9-1f1ea", "1f1e9-1f1ea", "", ""),
    ],
)
def test_what_a_sequence_is(script: ModuleType, emoji: str, key: str, gender: str, tone: str) -> None:
    assert (script.concept_key(emoji), script.gender(emoji), script.skin_tone(emoji)) == (key, gender, tone)


def test_twins_share_a_side_and_the_fixed_split_wins(script: ModuleType) -> None:
    concepts = {name: name for name in "abcde"}
    groups = script.twins(concepts, [["a"], ["b", "c"], ["c", "d"], ["e"]])
    assert groups == [["a"], ["b", "c", "d"], ["e"]]
    assert len({script.assign_splits(groups, {})[name] for name in "bcd"}) == 1
    for side in ("train", "test"):  # one of the two is not what the hash would say
        splits = script.assign_splits(groups, {"c": side, "e": "validation"})
        assert [splits[name] for name in "bcde"] == [side, side, side, "validation"]
        assert splits["a"] == script.split_of("a")


def test_hash_split_keeps_the_shares(script: ModuleType) -> None:
    counts = Counter(script.split_of(f"thing {number}") for number in range(10_000))
    assert counts["train"] == pytest.approx(7_000, abs=200)
    assert counts["validation"] == pytest.approx(1_000, abs=150)
    assert counts["test"] == pytest.approx(2_000, abs=200)


def test_webp_keeps_unseen_pixels(script: ModuleType) -> None:
    picture = Image.new("RGBA", (64, 64), (12, 34, 56, 0))
    picture.putpixel((3, 5), (200, 100, 50, 7))
    with Image.open(io.BytesIO(script.lossless_webp(picture))) as decoded:
        assert decoded.convert("RGBA").tobytes() == picture.tobytes()


def test_split_file_round_trip(script: ModuleType, tmp_path: Path) -> None:
    assert script.read_split(tmp_path / "none.csv") == {}
    script.write_split(tmp_path / "split.csv", {"b": "test", "a": "train"})
    assert (tmp_path / "split.csv").read_text(encoding="utf-8") == "concept,split\na,train\nb,test\n"
    assert script.read_split(tmp_path / "split.csv") == {"a": "train", "b": "test"}


@pytest.fixture
def modules(script: ModuleType, tmp_path: Path) -> Path:
    """The packages the set is built from: AMODAL_NODE_MODULES, what is installed, or a fresh `npm ci`."""
    for folder in (os.environ.get("AMODAL_NODE_MODULES"), REPOSITORY / "scripts/bundled/node_modules"):
        if folder is not None and (Path(folder) / "emoji-datasource-google").is_dir():
            return Path(folder)
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, and no node_modules with the packages is named by AMODAL_NODE_MODULES")
    shutil.copytree(REPOSITORY / "scripts/bundled", tmp_path / "npm")
    try:
        return script.install(tmp_path / "npm")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"npm ci cannot fetch the packages (no network?): {error}")


@pytest.mark.slow
def test_rebuilding_gives_the_same_rows_and_pixels(script: ModuleType, modules: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    out = tmp_path / "bundled"
    out.mkdir()
    shutil.copy(bundled.FOLDER / "split.csv", out)
    script.build(modules, out)
    assert (out / "split.csv").read_bytes() == (bundled.FOLDER / "split.csv").read_bytes()
    for name in ("emojis.parquet", "languages.parquet"):
        assert pq.read_table(out / name).equals(pq.read_table(bundled.FOLDER / name)), name
    ours, again = (pq.read_table(folder / "pictures.parquet") for folder in (bundled.FOLDER, out))
    assert again.drop_columns(["image"]).equals(ours.drop_columns(["image"]))
    for key, one, two in zip(
        *(column.to_pylist() for column in (ours["key"], ours["image"], again["image"])), strict=True
    ):
        with Image.open(io.BytesIO(one)) as left, Image.open(io.BytesIO(two)) as right:
            assert left.convert("RGBA").tobytes() == right.convert("RGBA").tobytes(), key
