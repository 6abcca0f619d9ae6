"""The reference has one page a room, in the navigation, that shows the room's names exactly once.

A room that lists public names in `__all__` is shown by that list; any other by its files (`show_submodules: true`).
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = {"cli", "app"}


def rooms(source: Path) -> dict[str, bool]:
    """Room -> whether its __init__ lists public names; the rooms that are called from outside Python are left out."""
    found = {}
    for path in sorted(source.glob("*/__init__.py")):
        listed = [
            target.id
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        ]
        found[path.parent.name] = "__all__" in listed
    return {room: lists for room, lists in found.items() if room not in HIDDEN}


def wrong_pages(source: Path, pages: Path, navigation: str) -> list[str]:
    """What each room's page lacks or has too much."""
    wrong = []
    for room, lists_names in rooms(source).items():
        page = pages / f"{room}.md"
        if not page.is_file() or f"::: amodal.{room}\n" not in page.read_text():
            wrong.append(f"{room}: docs/reference/{room}.md must hold `::: amodal.{room}`")
            continue
        if f"reference/{room}.md" not in navigation:
            wrong.append(f"{room}: its page is missing from mkdocs.yml")
        by_files = "show_submodules: true" in page.read_text()
        if by_files and lists_names:
            wrong.append(f"{room}: has __all__, so its page shows each name twice; drop show_submodules")
        if not by_files and not lists_names:
            wrong.append(f"{room}: has no __all__, so its page is empty; set show_submodules: true")
    return wrong


def test_every_room_has_its_page() -> None:
    assert len(rooms(ROOT / "src" / "amodal")) >= 10
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert not wrong_pages(ROOT / "src" / "amodal", ROOT / "docs" / "reference", navigation)


@pytest.mark.parametrize(
    ("init", "page", "navigation"),
    [
        ("", "::: amodal.room\n", "reference/room.md"),
        ('__all__ = ["a"]', "::: amodal.room\n    options:\n      show_submodules: true\n", "reference/room.md"),
        ('__all__ = ["a"]', "::: amodal.room\n", "reference/other.md"),
        ('__all__ = ["a"]', "# room\n", "reference/room.md"),
    ],
)
def test_bad_page_is_caught(init: str, page: str, navigation: str, tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").write_text(init)
    (tmp_path / "room.md").write_text(page)
    assert len(wrong_pages(tmp_path, tmp_path, navigation)) == 1
