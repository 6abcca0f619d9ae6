"""Everything that can be wrong is planted and found at the right rows; a healthy set gives no finding."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageEnhance

from amodal.audit import examine
from amodal.data.bundled import photos
from amodal.data.rows import Table
from amodal.data.sources import open_pictures, open_table


def rows_of(table: Table, kind: str, **options: Any) -> list[tuple[int, ...]]:
    """The rows of each case of this kind."""
    finding = examine(table, **options).finding(kind)
    return [] if finding is None else [case.rows for case in finding.cases]


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def test_a_healthy_set_gives_no_finding(source: Any) -> None:
    found = examine(source.table())
    assert found.findings == ()
    assert (found.rows, found.captions, dict(found.splits)) == (60, 60, {"train": 45, "test": 15})
    assert [(each.batch, each.left, each.blind) for each in found.false_negatives] == [(32, 0, 0)]
    assert found.scripts == {"Latin": 60}
    assert found.sizes["median"] == (120, 90)


def test_the_same_with_workers(source: Any) -> None:
    source.add(b"no picture")
    source.add(source.picture(3), split="test")
    assert examine(source.table(), workers=2).to_json() == examine(source.table()).to_json()


def test_broken_files(source: Any) -> None:
    whole = encoded(source.picture(99), "JPEG")
    bad = [source.add(b"no picture at all"), source.add(whole[: len(whole) // 2]), source.add(b"")]
    source.skipped.add("table.csv:7", "missing image file: 7.png")
    finding = examine(source.table()).finding("broken")
    assert finding is not None
    assert finding.severity == "problem"
    assert [case.rows for case in finding.cases] == [(), *((number,) for number in bad)]
    assert finding.cases[0].keys == ("table.csv:7",)
    assert "text, not a picture" in finding.cases[1].note


def test_what_readers_left_out_is_told_by_its_kind(source: Any) -> None:
    source.skipped.add("t.csv:3", "empty caption")
    source.skipped.add("t.csv:9", "duplicate row: the same image and caption as t.csv:2")
    found = examine(source.table())
    assert {(each.kind, each.severity) for each in found.findings} == {
        ("empty-captions", "problem"),
        ("duplicate-rows", "note"),
    }


def test_duplicate_pictures_by_their_bytes(source: Any) -> None:
    again = source.add(source.picture(3)), source.add(source.picture(3)), source.add(source.picture(7))
    found = examine(source.table())
    finding = found.finding("duplicate-pictures")
    assert finding is not None
    assert finding.severity == "warning"
    assert [case.rows for case in finding.cases] == [(3, *again[:2]), (7, again[2])]
    assert [each.kind for each in found.findings] == ["duplicate-pictures"]  # not as near-duplicates too
    expected = 8 * 32 * 31 / (48 * 47)  # of the 48 training rows: 3 · 2 + 2 ordered pairs
    assert found.false_negatives[0].left == pytest.approx(expected)


def test_copies_of_one_pair_are_no_alarm(source: Any) -> None:
    again = source.add(source.picture(3), source.caption(3))
    found = examine(source.table())
    for kind in ("duplicate-pictures", "duplicate-captions"):
        finding = found.finding(kind)
        assert finding is not None
        assert (finding.severity, [case.rows for case in finding.cases]) == ("note", [(3, again)])
        assert "positives" in finding.said
    assert found.false_negatives[0].left == 0
    assert found.false_negatives[0].blind > 0


def copies(picture: Image.Image) -> dict[str, bytes]:
    """What people do to a picture before they upload it again."""
    width, height = picture.size
    x, y = round(0.02 * width), round(0.02 * height)
    return {
        "compressed": encoded(picture, "JPEG", quality=35),
        "half": encoded(picture.resize((width // 2, height // 2)), "JPEG", quality=75),
        "third": encoded(picture.resize((width // 3, height // 3)), "WEBP"),
        "larger": encoded(picture.resize((2 * width, 2 * height)), "JPEG"),
        "cut": encoded(picture.crop((x, y, width - x, height - y)), "JPEG"),
        "brighter": encoded(ImageEnhance.Brightness(picture).enhance(1.25), "JPEG"),
        "darker": encoded(ImageEnhance.Brightness(picture).enhance(0.75), "JPEG"),
        "contrast": encoded(ImageEnhance.Contrast(picture).enhance(1.25), "JPEG"),
    }


def test_near_duplicates_of_the_bundled_photographs(source: Any) -> None:
    """Every copy of every photograph is found, and no photograph is taken for another."""
    expected = []
    for path in photos().values():
        picture = Image.open(path).convert("RGB").resize((480, 360))
        expected.append(tuple(source.add(content) for content in (encoded(picture), *copies(picture).values())))
    assert sorted(rows_of(source.table(), "near-duplicate-pictures")) == expected


def test_flat_and_nearly_empty_pictures_are_not_each_others_copies(source: Any) -> None:
    blank = [source.add(Image.new("RGB", (80, 60), (shade, shade, shade))) for shade in (255, 254, 250, 30)]
    for x in range(10, 110, 20):  # a dot somewhere on a page
        page = Image.new("RGB", (120, 90), "white")
        ImageDraw.Draw(page).ellipse((x, 20 + x // 4, x + 9, 29 + x // 4), fill="black")
        source.add(page)
    found = examine(source.table())
    assert [each.kind for each in found.findings] == ["blank-pictures"]
    assert sorted(case.rows for case in found.findings[0].cases) == [(number,) for number in blank]


def test_leaks_across_splits(source: Any) -> None:
    same = source.add(source.picture(2), split="test")
    near = source.add(encoded(source.picture(5), "JPEG", quality=60), split="test")
    said = source.add(captions=source.caption(9), split="test")
    source.add(source.picture(11))  # a duplicate within one split leaks nothing
    source.add(captions=source.caption(12))
    table = source.table()
    assert rows_of(table, "leaked-pictures") == [(2, same)]
    assert rows_of(table, "leaked-near-pictures") == [(5, near)]
    assert rows_of(table, "leaked-captions") == [(9, said)]
    found = {each.kind: each for each in examine(table).findings}
    assert "may stay" in found["leaked-near-pictures"].advice  # things drawn alike are no leak
    severities = {kind: each.severity for kind, each in found.items()}
    assert severities["leaked-pictures"] == severities["leaked-near-pictures"] == "problem"


def test_without_splits_nothing_leaks(source: Any) -> None:
    source.rows = []
    for _ in range(2):
        source.add(source.picture(1), "a boat on a lake", split="")
    assert [each.kind for each in examine(source.table()).findings] == ["duplicate-pictures", "duplicate-captions"]


def test_one_caption_for_several_pictures(source: Any) -> None:
    again = source.add(captions=(f"  {source.caption(4).upper()} ", "something else again"))
    finding = examine(source.table()).finding("duplicate-captions")
    assert finding is not None
    assert finding.severity == "warning"
    assert [(case.rows, case.note) for case in finding.cases] == [((4, again), source.caption(4))]


def test_classes_share_captions_on_purpose(source: Any) -> None:
    for split in ("train", "test", "test"):
        source.add(captions="ox", split=split)
    found = examine(source.table(classes=("ox",)))
    assert [(each.kind, each.severity) for each in found.findings] == [("duplicate-captions", "note")]


def test_sizes(source: Any) -> None:
    tiny, smaller = source.add(source.picture(100, (20, 30))), source.add(source.picture(101, (31, 10)))
    thin = source.add(source.picture(102, (600, 100)))
    huge = source.add(encoded(source.picture(103, (6000, 4200)), "JPEG"))
    table = source.table()
    assert rows_of(table, "tiny-pictures") == [(smaller,), (tiny,)]
    assert rows_of(table, "thin-pictures") == [(thin,)]
    finding = examine(table).finding("huge-pictures")
    assert finding is not None
    assert [(case.rows, case.note) for case in finding.cases] == [((huge,), "6,000 × 4,200 pixels")]


def test_captions(source: Any) -> None:
    short = [source.add(captions=text) for text in ("x", "?!", "2041")]
    long = source.add(captions="a very long story of a river and a castle " * 40)
    russian, chinese = source.add(captions="два кота на окне"), source.add(captions="猫")
    table = source.table()
    assert rows_of(table, "short-captions") == [(number,) for number in short]
    assert rows_of(table, "long-captions") == [(long,)]
    assert rows_of(table, "foreign-scripts") == [(russian,), (chinese,)]
    assert dict(examine(table).scripts) == {"Latin": 62, "none": 2, "Cyrillic": 1, "CJK": 1}


def test_pictures_alone(source: Any) -> None:
    source.add(source.picture(3))
    found = examine(open_pictures(source.folder))
    assert [each.kind for each in found.findings] == ["duplicate-pictures"]
    assert (found.captions, found.false_negatives) == (0, ())


def test_json_holds_every_case(source: Any) -> None:
    source.add(source.picture(3))
    found = json.loads(json.dumps(examine(source.table()).to_json()))
    (finding,) = found["findings"]
    assert finding["cases"] == [{"keys": ["003.png", "060.png"], "rows": [3, 60], "note": "the same bytes"}]
    assert finding["count"] == 1
    assert found["false_negatives"][0]["batch"] == 32


def test_a_table_where_most_is_broken(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,caption\n" + "".join(f"{n}.png,a thing {n}\n" for n in range(9)))
    Image.new("RGB", (40, 40), "red").save(tmp_path / "0.png")
    found = examine(open_table(tmp_path / "t.csv", max_skipped=1.0))
    finding = found.finding("broken")
    assert finding is not None
    assert len(finding.cases) == 8
