"""doctor.html: whole, self-contained, escaped, light and dark, with the pictures of each case."""

import re
from pathlib import Path
from typing import Any

from amodal.audit import examine, write_page
from amodal.data.bundled import ATTRIBUTION
from amodal.data.emoji import bundled_table
from amodal.data.rows import Table


def written(table: Table, folder: Path) -> str:
    return write_page(folder / "new" / "doctor.html", table, examine(table)).read_text(encoding="utf-8")


def test_the_page_shows_what_was_found(source: Any, tmp_path: Path) -> None:
    source.add(source.picture(3), "<b>a boat</b> & a lake", split="test")
    source.add(b"broken")
    page = written(source.table(), tmp_path)
    assert "2 problems, 1 warning" in page
    for title in ("Duplicate pictures across splits", "Broken or missing inputs", "False negatives in a batch"):
        assert title in page
    assert "&lt;b&gt;a boat&lt;/b&gt; &amp; a lake" in page
    assert "<b>a boat" not in page
    assert "003.png · train" in page
    assert "060.png · test" in page
    assert len(re.findall(r'<img class="thumb" src="data:image/', page)) == 4  # the two of each finding
    assert "prefers-color-scheme: dark" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "<script" not in page


def test_long_lists_are_cut_and_counted(source: Any, tmp_path: Path) -> None:
    for number in range(30):
        source.add(captions="x" if number % 2 else "?")
    page = written(source.table(), tmp_path)
    assert "and 18 more" in page


def test_a_healthy_set(source: Any, tmp_path: Path) -> None:
    assert "nothing found" in written(source.table(), tmp_path)


def test_bundled_pictures_name_their_source(tmp_path: Path) -> None:
    table = bundled_table(("noto",))
    table.rows = table.rows[:20]
    assert ATTRIBUTION.split(";")[0].replace("©", "©") in written(table, tmp_path)
