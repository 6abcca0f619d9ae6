"""Caption tables: what is read, what is skipped and named, what is refused."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from amodal.core.errors import DataError
from amodal.data.pictures import BytesRef
from amodal.data.rows import Table
from amodal.data.tables import read_table


def picture(colour: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (2, 2), (colour, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pics").mkdir()
    for number, name in enumerate("abcd"):
        (tmp_path / "pics" / f"{name}.png").write_bytes(picture(number))
    return tmp_path


def read(folder: Path, text: str | bytes, name: str = "captions.csv", max_skipped: float = 1.0) -> Table:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path, max_skipped=max_skipped)


def reasons(table: Table) -> dict[str, str]:
    return dict(table.skipped.entries)


def test_csv_with_attributes_quotes_and_line_breaks(folder: Path) -> None:
    text = 'image,caption,language,split,shelf\npics/a.png,"a cat, ""Tom""",en,train,7\npics/b.png,"two\nlines",de,,\n'
    table = read(folder, text + "pics/c.png,last,en,val,9\n")
    assert [row.key for row in table.rows] == ["captions.csv:2", "captions.csv:3", "captions.csv:5"]
    assert table.rows[0].captions == ('a cat, "Tom"',)
    assert table.rows[0].attributes == {"language": "en", "split": "train", "shelf": "7"}
    assert table.rows[1].attributes == {"language": "de"}
    assert table.rows[2].picture.image().getpixel((0, 0)) == (2, 0, 0)
    assert len(table.skipped) == 0


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_other_delimiters_and_byte_order_mark(folder: Path, delimiter: str, start: bytes) -> None:
    lines = [["image", "caption"], ["pics/a.png", "über, unter"], ["pics/b.png", "b"]]
    text = "\r\n".join(delimiter.join(line) for line in lines)
    table = read(folder, start + text.encode())
    assert table.rows[0].captions == ("über, unter",)
    assert len(table) == 2


def test_rows_of_one_image_are_joined(folder: Path) -> None:
    table = read(folder, "image,caption,language\npics/a.png,one,en\n./pics/a.png,two,de\npics\\a.png,three,\n")
    assert len(table) == 1
    assert table.rows[0].captions == ("one", "two", "three")
    assert table.rows[0].key == "captions.csv:2"
    assert table.rows[0].attributes == {"language": "en"}


def test_same_caption_sets_are_one_pair(folder: Path) -> None:
    table = read(folder, "image,caption\npics/a.png,x\npics/a.png,y\npics/b.png,y\npics/b.png,X\npics/c.png,x\n")
    pairs = [row.pair for row in table.rows]
    assert pairs[0] == pairs[1] != pairs[2]


def test_what_cannot_be_used_is_skipped_and_named(folder: Path) -> None:
    (folder / "pics" / "empty.png").touch()
    lines = [
        "image,caption",
        "pics/a.png,fine",
        "pics/gone.png,missing",
        "pics/b.png,  ",
        "pics/a.png,fine",
        "pics/c.png,too,many",
        "pics/c.png",
        ",nothing",
        "https://example.org/x.png,far",
        "pics/empty.png,zero",
        "pics,folder",
        'pics/d.png,"a"b',
        "",
    ]
    table = read(folder, "\n".join(lines))
    found = reasons(table)
    assert [row.key for row in table.rows] == ["captions.csv:2"]
    assert found["captions.csv:3"] == "missing image file: pics/gone.png"
    assert found["captions.csv:4"] == "empty caption"
    assert found["captions.csv:5"] == "duplicate row: the same image and caption as captions.csv:2"
    assert "3 fields where the header has 2" in found["captions.csv:6"]
    assert "1 fields" in found["captions.csv:7"]
    assert found["captions.csv:8"] == "empty image column"
    assert "nothing is fetched" in found["captions.csv:9"]
    assert "zero bytes" in found["captions.csv:10"]
    assert "missing image file" in found["captions.csv:11"]
    assert "malformed row" in found["captions.csv:12"]
    assert len(table.skipped) == 10


def test_too_many_skipped_is_an_error_with_rows(folder: Path) -> None:
    good = "".join(f"pics/a.png,caption {number}\n" for number in range(95))
    bad = "".join(f"gone{number}.png,x\n" for number in range(5))
    assert len(read(folder, "image,caption\n" + good + bad, max_skipped=0.05).skipped) == 5
    with pytest.raises(DataError, match=r"(?s)6 of 101 rows.*captions.csv:97: missing image file.*data\.max_skipped"):
        read(folder, "image,caption\n" + good + bad + "gone.png,x\n", max_skipped=0.05)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("image,caption\n", "no usable row"),
        ("image,captoin\na,b\n", "no column 'caption'; its columns are 'image', 'captoin'; rename 'captoin'"),
        ("Image,caption\na,b\n", "no column 'image'.*rename 'Image'"),
        ("x,y\na,b\n", "no column 'image'; its columns are 'x', 'y'"),
        ('image,caption\npics/a.png,"never closed\npics/b.png,b\n', "captions.csv:2 is never closed"),
        ("image,caption\npics/a.png,caf\xe9\n".encode("latin-1"), "row 2, byte 28 is not UTF-8; save"),
        ("image,caption\npics/a.png,b\n".encode("utf-16"), "is UTF-16"),
    ],
)
def test_unreadable_csv(folder: Path, text: str | bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(folder, text)


def test_missing_table_and_unknown_format(folder: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv cannot be read"):
        read_table(folder / "gone.csv")
    with pytest.raises(DataError, match=r"'\.xlsx'; save it as \.csv"):
        read_table(folder / "captions.xlsx")


def test_accents_composed_differently_are_found(folder: Path) -> None:
    (folder / "pics" / "cafe\u0301.png").write_bytes(picture())
    assert len(read(folder, "image,caption\npics/caf\u00e9.png,coffee\n")) == 1


def test_overlong_field_and_nul(folder: Path) -> None:
    table = read(folder, f"image,caption\npics/a.png,{'x' * 200_000}\npics/b.png,b\npics/\0.png,c\n")
    assert len(table) == 1
    assert len(table.skipped) == 2


def test_csv_round_trip_of_hard_captions(folder: Path) -> None:
    hard = ['"', ",", "a\nb", "'", 'say ""', "tab\there", "🎈", "x\u2028y", "=1+1"]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(["image", "caption"])
    writer.writerows(["pics/a.png", caption] for caption in hard)
    assert list(read(folder, stream.getvalue()).rows[0].captions) == hard


def test_jsonl_lists_and_attributes(folder: Path) -> None:
    lines = [
        {"image": "pics/a.png", "caption": ["one", "two"], "split": "val", "stars": 4, "ok": True, "note": None},
        {"file_name": "pics/b.png", "image": "pics/b.png", "caption": "a \u2028 line", "tags": ["x"]},
    ]
    table = read(folder, "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines), "captions.jsonl")
    assert table.rows[0].captions == ("one", "two")
    assert table.rows[0].attributes == {"split": "val", "stars": "4", "ok": "true"}
    assert table.rows[1].key == "captions.jsonl:3"
    assert table.rows[1].captions == ("a \u2028 line",)
    assert table.rows[1].attributes["tags"] == '["x"]'


def test_malformed_json_lines_are_skipped_and_named(folder: Path) -> None:
    lines = [
        '{"image": "pics/a.png", "caption": "fine"}',
        '{"image": "pics/b.png", "caption": ',
        '["pics/b.png", "b"]',
        '{"image": "pics/b.png", "caption": 5}',
        '{"image": 7, "caption": "x"}',
        '{"image": "pics/b.png"}',
        '{"image": "pics/b.png", "caption": []}',
        "[" * 100_000,
    ]
    found = reasons(read(folder, "\n".join(lines), "captions.jsonl"))
    assert set(found) == {f"captions.jsonl:{number}" for number in range(2, 9)}
    assert "malformed JSON" in found["captions.jsonl:2"]
    assert "not an object" in found["captions.jsonl:3"]
    assert "caption is int" in found["captions.jsonl:4"]
    assert "image is int" in found["captions.jsonl:5"]
    assert found["captions.jsonl:6"] == found["captions.jsonl:7"] == "empty caption"


def test_jsonl_without_columns_or_rows(folder: Path) -> None:
    with pytest.raises(DataError, match="no column 'image'; its columns are 'picture', 'caption'"):
        read(folder, '{"picture": "a", "caption": "b"}\n', "captions.jsonl")
    with pytest.raises(DataError, match="no row that can be read"):
        read(folder, "{broken\n", "captions.jsonl")


def test_parquet_with_paths_bytes_and_hugging_face_structs(folder: Path) -> None:
    captions = [["one"], ["two", "zwei"]]
    structs = [{"bytes": picture(9), "path": "x.png"}, {"bytes": None, "path": "pics/b.png"}]
    for image in (["pics/a.png", "pics/b.png"], [picture(9), picture(1)], structs):
        pq.write_table(pa.table({"image": image, "caption": captions, "language": ["en", None]}), folder / "c.parquet")
        table = read_table(folder / "c.parquet")
        assert [row.key for row in table.rows] == ["c.parquet:1", "c.parquet:2"]
        assert table.rows[1].captions == ("two", "zwei")
        assert table.rows[0].attributes == {"language": "en"}
        assert table.rows[1].picture.image().getpixel((0, 0)) == (1, 0, 0)
    assert isinstance(table.rows[0].picture, BytesRef)


def test_parquet_rows_with_the_same_bytes_are_one_picture(folder: Path) -> None:
    values = {"image": [picture(1), picture(1), picture(2)], "text": ["x", "y", "z"]}
    pq.write_table(pa.table(values), folder / "c.parquet")
    table = read_table(folder / "c.parquet")
    assert [row.captions for row in table.rows] == [("x", "y"), ("z",)]


def test_unreadable_parquet(folder: Path) -> None:
    for content in (b"", b"not parquet at all", b"PAR1" + bytes(20) + b"PAR1"):
        with pytest.raises(DataError, match="no readable Parquet"):
            read(folder, content, "captions.parquet")
    pq.write_table(
        pa.table({"image": pa.array([], pa.string()), "caption": pa.array([], pa.string())}), folder / "e.parquet"
    )
    with pytest.raises(DataError, match="no row"):
        read_table(folder / "e.parquet")
    pq.write_table(pa.table({"image": ["a"], "title": ["b"]}), folder / "e.parquet")
    with pytest.raises(DataError, match="no column 'caption'"):
        read_table(folder / "e.parquet")
