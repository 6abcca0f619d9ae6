"""Nothing heavy is loaded before it is needed: what is in sys.modules after the two cheapest entrances. No clock."""

import json
import subprocess
import sys

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "tokenizers",
    "numpy",
    "pyarrow",
    "matplotlib",
    "pydantic",
    "PIL",
)
HELP = """
import sys
from amodal.cli import main
sys.argv = ["amodal", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


def heavy_after(code: str) -> list[str]:
    """Which heavy packages a fresh Python has loaded once it ran `code`."""
    report = f"\nimport json, sys\nprint()\nprint(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_import_is_light() -> None:
    assert heavy_after("import amodal; amodal.__version__") == []


def test_help_is_light() -> None:
    assert heavy_after(HELP) == []


def test_heavy_import_is_caught() -> None:
    assert heavy_after("import numpy") == ["numpy"]
