"""The habits that a machine can check: lengths, names, docstrings, broad `except`, silenced checkers."""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = tomllib.loads(Path(__file__).with_name("house.toml").read_text())
HABITS = HOUSE["habits"]
LONGER: dict[str, str] = HOUSE["longer"]
SILENCED = re.compile(r"#\s*(type:\s*ignore|pyright:\s*ignore|noqa|ruff:\s*noqa|pyright:\s*basic)")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(root: Path, *folders: str) -> dict[str, str]:
    """Path from `root` -> text, of every Python file in the folders."""
    found = (path for folder in folders for path in sorted((root / folder).rglob("*.py")))
    return {path.relative_to(root).as_posix(): path.read_text() for path in found}


def too_long(files: dict[str, str]) -> dict[str, int]:
    """`file`, `file::function` or `file::Class.method` -> lines, of what is over its ceiling."""

    def functions(node: ast.AST, name: str) -> Iterator[tuple[str, int]]:
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, Function | ast.ClassDef)
            inner = f"{name}.{child.name}".lstrip(".") if named else name
            if isinstance(child, Function):
                yield inner, (child.end_lineno or child.lineno) - child.lineno + 1
            yield from functions(child, inner)

    over: dict[str, int] = {}
    for file, text in files.items():
        if (lines := len(text.splitlines())) > HABITS["file_lines"]:
            over[file] = lines
        for name, lines in functions(ast.parse(text), ""):
            if lines > HABITS["function_lines"]:
                over[f"{file}::{name}"] = lines
    return over


def banned_names(files: dict[str, str]) -> list[str]:
    """Files in which a folder or the file itself has a name that says nothing."""
    banned = set(HABITS["banned_names"])
    return [file for file in files if banned & set(Path(file).with_suffix("").parts)]


def undocumented(files: dict[str, str]) -> list[str]:
    """Modules, and public classes, functions and methods, without a docstring.

    Classes of one file that answer the same call say what it does once: in the first of them, or in their protocol.
    """

    def visit(body: list[ast.stmt], where: str, told: set[str]) -> Iterator[str]:
        for node in body:
            if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
                if ast.get_docstring(node) is None and node.name not in told and not is_overload(node):
                    yield f"{where}::{node.name}"
                if isinstance(node, ast.ClassDef):
                    yield from visit(node.body, f"{where}::{node.name}", told_by_classes)

    missing = []
    for file, text in files.items():
        tree = ast.parse(text)
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        methods = [node for each in classes for node in each.body if isinstance(node, Function)]
        told_by_classes = {node.name for node in methods if ast.get_docstring(node) is not None}
        if text.strip() and ast.get_docstring(tree) is None:
            missing.append(file)
        missing.extend(visit(tree.body, file, set()))
    return missing


def is_overload(node: Function | ast.ClassDef) -> bool:
    """Whether a definition only states a type: an overload, or the setter of a property that is documented."""
    marks = [ast.unparse(mark) for mark in node.decorator_list]
    return any(mark.endswith(("overload", ".setter", "override")) for mark in marks)


def broad_excepts(files: dict[str, str]) -> list[str]:
    """Handlers of everything that do not raise again, outside the rooms that stand between us and a person."""
    allowed = tuple(f"src/amodal/{room}/" for room in HABITS["broad_except_rooms"])
    found = []
    for file, text in files.items():
        if file.startswith(allowed):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler) and is_broad(node):
                found.append(f"{file}:{node.lineno}")
    return found


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Whether a handler takes every exception and swallows it."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise):
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds)


def silenced(files: dict[str, str]) -> list[str]:
    """The comments that silence a checker; strings that only look like one are not counted."""
    found = []
    for file, text in files.items():
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and SILENCED.search(token.string):
                found.append(f"{file}:{token.start[0]}")
    return found


@pytest.fixture(scope="module")
def source() -> dict[str, str]:
    files = python_files(ROOT, "src/amodal")
    assert len(files) >= 15, f"only {len(files)} files were seen: the walk itself is broken"
    return files


def test_lengths(source: dict[str, str]) -> None:
    over = too_long(source)
    assert not {where: lines for where, lines in over.items() if where not in LONGER}
    assert not [where for where in LONGER if where not in over], "house.toml excuses what needs no excuse any more"
    assert all(len(reason) > 10 for reason in LONGER.values())


def test_names(source: dict[str, str]) -> None:
    everywhere = source | python_files(ROOT, "tests", "scripts", "benchmarks", "examples")
    assert not banned_names(everywhere)


def test_docstrings(source: dict[str, str]) -> None:
    assert not undocumented(source)


def test_excepts(source: dict[str, str]) -> None:
    assert not broad_excepts(source)


def test_silenced_checkers(capsys: pytest.CaptureFixture[str]) -> None:
    found = silenced(python_files(ROOT, "src", "tests", "scripts", "benchmarks", "examples"))
    with capsys.disabled():
        print(f"\nlines that silence a checker: {len(found)} (limit {HABITS['silenced_limit']})")
    assert len(found) <= HABITS["silenced_limit"], found


def test_too_long_is_caught() -> None:
    method = "class A:\n    def far():\n" + "        pass\n" * 60
    assert too_long({"a.py": method, "b.py": "x = 1\n" * 401}) == {"a.py::A.far": 61, "b.py": 401}
    assert too_long({"a.py": method.replace("        pass\n", "", 1), "b.py": "x = 1\n" * 400}) == {}


def test_banned_name_is_caught() -> None:
    names: list[str] = ["src/a/utils.py", "src/helpers/b.py", "src/a/utilities.py", "src/a/b.py"]
    assert banned_names(dict.fromkeys(names, "")) == ["src/a/utils.py", "src/helpers/b.py"]


def test_missing_docstring_is_caught() -> None:
    bare = '"""File."""\nclass A:\n    def go(self): ...\n    def _own(self): ...\n    def __len__(self): ...\n'
    files = {"a.py": bare, "b.py": "def f():\n    'Says.'\n", "c.py": ""}
    assert undocumented(files) == ["a.py::A", "a.py::A::go", "b.py"]
    protocol = '"""File."""\nclass P:\n    """Asks."""\n    def go(self):\n        """Goes."""\n'
    twin = 'class A:\n    """Answers."""\n    def go(self): ...\ndef go(): ...\n'
    assert undocumented({"a.py": protocol + twin}) == ["a.py::go"]


def test_broad_except_is_caught() -> None:
    def trying(handler: str) -> str:
        return f"try:\n    go()\n{handler}\n"

    swallow = ("except: pass", "except Exception: pass", "except (KeyError, BaseException) as e: print(e)")
    fine = ("except KeyError: pass", "except BaseException:\n    clean()\n    raise")
    assert all(len(broad_excepts({"src/amodal/data/a.py": trying(handler)})) == 1 for handler in swallow)
    assert not any(broad_excepts({"src/amodal/data/a.py": trying(handler)}) for handler in fine)
    assert not broad_excepts({"src/amodal/cli/a.py": trying(swallow[1])})


def test_silenced_line_is_caught() -> None:
    mark = "no" + "qa"
    text = f"x = 1  # {mark}: E501\ny = '# {mark}'\nz = 2  # type: " + "ignore[arg-type]\n"
    assert silenced({"a.py": text}) == ["a.py:1", "a.py:3"]
