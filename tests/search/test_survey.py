"""A source looked over: what is found, and when a mark changes."""

import os
from pathlib import Path
from typing import Any

import pytest

from amodal.core.errors import DataError
from amodal.search.survey import as_number, survey


def test_a_folder_is_walked_with_all_below_it(library: Any) -> None:
    library.draw(".hidden/secret.png", "red")
    (library.folder / "notes.txt").write_text("no picture")
    found = survey(str(library.folder))
    assert len(found.marks) == 12
    assert found.entry("more/1-red.png").attributes == {"folder": "more"}
    assert found.entry("0-red.png").captions == ()
    assert found.hollow == frozenset()


def test_marks_change_with_time_size_and_what_is_said(library: Any) -> None:
    picture = library.folder / "0-red.png"
    before = survey(str(library.folder)).marks
    assert survey(str(library.folder)).marks == before
    assert survey(str(library.folder), place=True).marks["0-red.png"] != before["0-red.png"]
    os.utime(picture, ns=(5, 5))
    after = survey(str(library.folder)).marks
    assert {path for path in before if before[path] != after[path]} == {"0-red.png"}
    picture.with_suffix(".txt").write_text("a rose\n\nin the garden\n")
    told = survey(str(library.folder))
    assert told.marks["0-red.png"] != after["0-red.png"]
    assert told.entry("0-red.png").captions == ("a rose", "in the garden")


def test_empty_and_missing_folders_are_hollow(library: Any, tmp_path: Path) -> None:
    (library.folder / "usb").mkdir()
    found = survey(str(library.folder))
    assert found.hollow == {"usb"}
    assert found.may_be_away("usb/a.png")
    assert not found.may_be_away("usbstick/a.png")
    assert not found.may_be_away("a.png")
    nothing = survey(str(tmp_path / "nowhere"))
    assert nothing.marks == {}
    assert nothing.may_be_away("a.png")


def test_tables_shards_and_the_bundled_set_are_read(library: Any) -> None:
    table = library.folder / "captions.csv"
    table.write_text("image,caption,year,shelf\n0-red.png,a rose,2016,A\nnowhere.png,lost,2017,B\n")
    for source in (table, library.folder):
        found = survey(str(source))
        assert list(found.marks) == ["0-red.png"]
        assert found.attributes == {"year": True, "shelf": False}
        assert found.entry("0-red.png").captions == ("a rose",)
        assert [entry.key for entry in found.skipped] == ["captions.csv:3"]
    bundled = survey("bundled")
    assert len(bundled.marks) > 3000
    assert bundled.entry("noto/1f600").attributes["style"] == "noto"
    assert survey("bundled").marks == bundled.marks


def test_pictures_of_a_table_outside_its_folder(library: Any) -> None:
    table = library.where.with_name("captions.csv")
    table.write_text("image,caption\nphotos/0-red.png,a rose\n")
    assert list(survey(str(table)).marks) == ["photos/0-red.png"]


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.pdf").write_bytes(b"%PDF")
    with pytest.raises(DataError, match="is no source of pictures"):
        survey(str(tmp_path / "thesis.pdf"))


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3.0), ("-2.5", -2.5), ("0.5", 0.5), ("0", 0.0), ("007", None), ("x", None), ("nan", None)]
)
def test_numbers(text: str, value: float | None) -> None:
    assert as_number(text) == value
