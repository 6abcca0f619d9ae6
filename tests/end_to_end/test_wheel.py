"""The wheel holds every data file of the package, and works outside the checkout."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "amodal"

pytestmark = pytest.mark.slow


def call(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Runs a program and gives its standard output; its messages are shown when it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # With the build backend at hand nothing has to be fetched.
    isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    call(sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def target(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    call(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, wheel, cwd=folder)
    return folder


def test_wheel_holds_every_file(wheel: Path) -> None:
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    expected = {path.relative_to(PACKAGE.parent).as_posix() for path in files if not path.name.startswith(".")}
    suffixes = {Path(name).suffix for name in expected}
    assert {".py", ".typed", ".parquet", ".yaml", ".safetensors"} <= suffixes
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert not expected - packed
    assert not [name for name in packed if not name.startswith(("amodal/", "amodal-"))]


def test_wheel_imports_outside_the_checkout(target: Path, tmp_path: Path) -> None:
    code = "import amodal; print(amodal.__file__)"
    where = call(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(target)).strip()
    assert Path(where).is_relative_to(target)


def test_command_answers_outside_the_checkout(target: Path, tmp_path: Path) -> None:
    shown = call(sys.executable, target / "bin" / "amodal", "--help", cwd=tmp_path, PYTHONPATH=str(target))
    assert "classify" in shown
    assert "train" in shown


def test_recipes_are_read_from_the_wheel(target: Path, tmp_path: Path) -> None:
    shown = call(sys.executable, target / "bin" / "amodal", "recipes", cwd=tmp_path, PYTHONPATH=str(target))
    assert "transfer" in shown
