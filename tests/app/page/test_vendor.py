"""The libraries that the page ships: as they were fetched, with their licences, named by nothing but paths."""

import hashlib
import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

PAGE = Path(str(files("amodal.app"))) / "page"
VENDOR = PAGE / "vendor"
LISTED = json.loads((VENDOR / "vendor.json").read_text(encoding="utf-8"))
IMPORT = re.compile(r"""(?:from|import)\s*["']([\w@./-]+)["']""")


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry["file"])
def test_library_is_the_listed_one_and_has_its_licence(entry: dict[str, str]) -> None:
    assert hashlib.sha256((VENDOR / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    licence = (VENDOR / entry["license_file"]).read_text(encoding="utf-8")
    assert "Permission is hereby granted" in licence or "Apache License" in licence
    assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])


def test_every_file_is_listed() -> None:
    known = {entry["file"] for entry in LISTED} | {entry["license_file"] for entry in LISTED} | {"vendor.json"}
    assert {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()} == known


def test_modules_import_only_what_is_beside_them_and_none_is_forgotten() -> None:
    modules = [path for path in PAGE.rglob("*.js") if path.name != "theme.js"]
    imported = {PAGE / "main.js"}
    for path in modules:
        for name in IMPORT.findall(path.read_text(encoding="utf-8")):
            assert name.startswith("./"), f"{path.name} imports {name}"
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"
            imported.add((path.parent / name).resolve())
    assert {path.resolve() for path in modules} == {path.resolve() for path in imported}


def test_page_names_no_other_host() -> None:
    pages = [path for path in PAGE.iterdir() if path.suffix in (".html", ".css", ".js")]
    assert len(pages) > 15
    for path in pages:
        assert not re.search(r"https?://(?!www\.w3\.org/)", path.read_text(encoding="utf-8")), path.name
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style| style=| on\w+=", html), "the CSP refuses what is inline"
