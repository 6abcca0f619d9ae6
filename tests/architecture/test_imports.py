"""The arrows of the house: every import under src/amodal goes down the table in house.toml."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "amodal"
ROOMS: dict[str, int] = tomllib.loads(Path(__file__).with_name("house.toml").read_text())["rooms"]
DOORS = ("__init__", "__main__")


class Edge(NamedTuple):
    """One import of one room by a file of another (or by a door of the package)."""

    file: str
    line: int
    source: str
    target: str
    lazy: bool


def names_imported(node: ast.AST, package: list[str]) -> list[list[str]]:
    """The dotted names that a statement or call brings in, split; relative ones resolved against `package`."""
    if isinstance(node, ast.Import):
        return [alias.name.split(".") for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        base = base + (node.module.split(".") if node.module else [])
        return [[*base, alias.name] for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        name = node.args[0].value
        if called in ("import_module", "__import__") and isinstance(name, str):
            level = len(name) - len(name.lstrip("."))
            return [(package[: len(package) - level + 1] if level else []) + name.lstrip(".").split(".")]
    return []


def rooms_behind_door(tree: ast.AST) -> dict[str, str]:
    """Name -> room, for the names that the package's own __init__ takes out of a room."""
    return {
        alias.asname or alias.name: node.module.split(".")[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("amodal.")
        for alias in node.names
    }


def import_edges(source: Path) -> Iterator[Edge]:
    """Every import that leaves its room, in every Python file below `source` (the folder `amodal`)."""
    door = rooms_behind_door(ast.parse((source / "__init__.py").read_text()))
    for path in sorted(source.rglob("*.py")):
        inside = path.relative_to(source)
        here = inside.stem if len(inside.parts) == 1 else inside.parts[0]
        tree = ast.parse(path.read_text(), filename=str(path))
        eager = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            for name in names_imported(node, ["amodal", *inside.parts[:-1]]):
                if name[0] != "amodal" or len(name) == 1:
                    continue
                room = door.get(name[1], name[1])
                if room != here and not room.startswith("__"):
                    yield Edge(str(inside), getattr(node, "lineno", 0), here, room, id(node) not in eager)


def wrong_arrows(edges: list[Edge]) -> list[str]:
    """The edges that point to their own tier, upwards, or to a room that the table lacks."""
    wrong = []
    for edge in edges:
        where = f"{edge.file}:{edge.line} imports {edge.target}"
        if edge.target not in ROOMS:
            wrong.append(f"{where}, which is no room of house.toml")
        elif edge.source in DOORS:
            if not edge.lazy and edge.target != "core":
                wrong.append(f"{where} when it is loaded; import it inside the function that needs it")
        elif edge.source in ROOMS and ROOMS[edge.target] >= ROOMS[edge.source]:
            wrong.append(f"{where}: tier {ROOMS[edge.source]} may not import tier {ROOMS[edge.target]}")
    return wrong


def unknown_rooms(source: Path) -> list[str]:
    """What lies in the package and is neither a room of the table, nor one of its doors."""
    folders = {path.relative_to(source).parts[0] for path in source.rglob("*.py") if path.parent != source}
    files = {path.stem for path in source.glob("*.py")}
    return sorted((folders - set(ROOMS)) | (files - set(DOORS)))


def test_imports_go_down() -> None:
    edges = list(import_edges(SOURCE))
    assert len(edges) >= 10, f"only {len(edges)} imports were seen: the walk itself is broken"
    assert not wrong_arrows(edges)


def test_every_room_is_in_the_table() -> None:
    assert len(list(SOURCE.rglob("*.py"))) >= 15
    assert not unknown_rooms(SOURCE)


BAD = {
    "upwards": ("data/rows.py", "from amodal.training.loop import fit\n"),
    "sideways": ("towers/image.py", "from ..objectives import info_nce\n"),
    "relative module": ("models/dual/deep.py", "from ...recipes.schema import Recipe\n"),
    "inside a function": ("tasks/contrastive.py", "def step():\n    import amodal.cli.train\n"),
    "for the types alone": (
        "metrics/recall.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from amodal.models import DualEncoder\n",
    ),
    "through the door": ("training/loop.py", "import amodal\nfrom amodal import load\n"),
    "by name": ("features/cache.py", "import importlib\nimportlib.import_module('amodal.inference')\n"),
    "by relative name": ("fusion/joint.py", "from importlib import import_module\nimport_module('..data', 'amodal')\n"),
    "from core": ("core/batch.py", "from amodal.data import rows\n"),
    "to nowhere": ("data/rows.py", "from amodal.atelier import Bench\n"),
    "door opens a room": ("__main__.py", "from amodal.cli import main\n"),
}
GOOD = {
    "down": ("models/dual.py", "from amodal.towers.image import ImageTower\nfrom amodal.core.batch import Batch\n"),
    "own room": (
        "towers/image.py",
        "from . import text\nfrom .text import TextTower\nfrom amodal.towers import packaged\n",
    ),
    "lazy door": ("__main__.py", "if __name__ == '__main__':\n    from amodal.cli import main\n    main()\n"),
    "version": ("runs/card.py", "from amodal import __version__\n"),
    "elsewhere": ("data/rows.py", "import torch\nfrom training import loop\n"),
}


def tree_with(tmp_path: Path, file: str, text: str) -> Path:
    """A small package `amodal` that holds one file more than its door."""
    source = tmp_path / "amodal"
    (source / file).parent.mkdir(parents=True)
    door = "def __getattr__(name):\n    from amodal.inference import load\n    return load\n"
    (source / "__init__.py").write_text(door)
    (source / file).write_text(text)
    return source


@pytest.mark.parametrize("case", BAD)
def test_bad_sample_is_caught(tmp_path: Path, case: str) -> None:
    assert len(wrong_arrows(list(import_edges(tree_with(tmp_path, *BAD[case]))))) == 1


@pytest.mark.parametrize("case", GOOD)
def test_good_sample_passes(tmp_path: Path, case: str) -> None:
    assert wrong_arrows(list(import_edges(tree_with(tmp_path, *GOOD[case])))) == []


def test_room_outside_the_table_is_caught(tmp_path: Path) -> None:
    source = tree_with(tmp_path, "atelier/bench.py", "")
    (source / "stray.py").write_text("")
    assert unknown_rooms(source) == ["atelier", "stray"]


def test_the_page_tells_the_same_table() -> None:
    page = (ROOT / "docs" / "explanation" / "house.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+|–) \| `(\w+)` \|", page, re.MULTILINE)
    assert {room: -1 if tier == "–" else int(tier) for tier, room in rows} == ROOMS
