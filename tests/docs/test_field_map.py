"""The map of the field names only what exists: files, recipes and studies; and every idea has its paper."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "field-map.md"
COLUMNS = ["Idea", "Paper", "Files", "Recipes", "Studies"]
PAPER = re.compile(r"[A-Z][\w'’-]+.*\b(19|20)\d\d\b")


class Row(NamedTuple):
    """One idea of the map; the last three hold the names that stand in backticks."""

    idea: str
    paper: str
    files: list[str]
    recipes: list[str]
    studies: list[str]


def read_map(text: str) -> list[Row]:
    """The rows of every table on the page whose head is COLUMNS."""
    rows, inside = [], False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if cells == COLUMNS:
            inside = True
        elif not cells:
            inside = False
        elif inside and not set(line) <= set("|-: "):
            if len(cells) != len(COLUMNS):
                raise ValueError(f"{len(cells)} cells in place of {len(COLUMNS)}: {line}")
            names = [re.findall(r"`([^`]+)`", cell) for cell in cells[2:]]
            rows.append(Row(cells[0], cells[1], *names))
    return rows


def wrong_names(rows: list[Row], root: Path) -> list[str]:
    """What the rows name and the repository lacks, and the rows that lack a paper or a file."""
    wrong = []
    for row in rows:
        if not PAPER.search(row.paper):
            wrong.append(f"{row.idea}: no paper with authors and year")
        if not row.files:
            wrong.append(f"{row.idea}: no file")
        wanted = [
            *row.files,
            *(f"src/amodal/recipes/{name}.yaml" for name in row.recipes),
            *(f"src/amodal/studies/{name.replace('-', '_')}.py" for name in row.studies),
        ]
        wrong.extend(f"{row.idea}: {path} does not exist" for path in wanted if not (root / path).is_file())
    return wrong


def test_map_names_what_exists() -> None:
    rows = read_map(PAGE.read_text(encoding="utf-8"))
    assert len(rows) >= 8, f"only {len(rows)} rows were seen: the reader of the table is broken"
    assert not wrong_names(rows, ROOT)


def test_every_recipe_is_on_the_map() -> None:
    named = {name for row in read_map(PAGE.read_text(encoding="utf-8")) for name in row.recipes}
    assert {path.stem for path in (ROOT / "src" / "amodal" / "recipes").glob("*.yaml")} <= named


HEAD = "| Idea | Paper | Files | Recipes | Studies |\n|---|---|---|---|---|\n"


@pytest.mark.parametrize(
    "row",
    [
        "| a | Doe et al. 2020 | `src/gone.py` | – | – |",
        "| a | Doe et al. 2020 | `here.py` | `gone` | – |",
        "| a | Doe et al. 2020 | `here.py` | – | `gone` |",
        "| a | Doe et al. 2020 | – | – | – |",
        "| a | folklore | `here.py` | – | – |",
    ],
)
def test_bad_row_is_caught(row: str, tmp_path: Path) -> None:
    (tmp_path / "here.py").touch()
    assert len(wrong_names(read_map(HEAD + row), tmp_path)) == 1


def test_good_row_passes_and_other_tables_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "here.py").touch()
    other = "| Word | Meaning |\n|---|---|\n| tower | `nowhere.py` |\n\n"
    rows = read_map(other + HEAD + "| a | Doe and Roe 2020 | `here.py` | – | – |\n")
    assert len(rows) == 1
    assert wrong_names(rows, tmp_path) == []
