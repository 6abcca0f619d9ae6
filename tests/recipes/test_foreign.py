"""Which names mean a model of another library, and which a run."""

import json
from pathlib import Path

import pytest

from amodal.recipes import is_foreign


@pytest.mark.parametrize(
    ("name", "foreign"),
    [
        ("openai/clip-vit-base-patch32", True),
        ("hf:clip", True),
        ("open_clip:ViT-B-32:openai", True),
        ("timm:resnet18+hf:bert", True),
        ("nowhere", False),
        ("runs/typo", False),  # there is a folder runs
        ("a/b/c", False),
        ("./b", False),
        ("/a", False),
        ("C:\\models\\b", False),
    ],
)
def test_a_name(name: str, foreign: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert is_foreign(name) == foreign


def test_a_folder(tmp_path: Path, tiny_run: Path) -> None:
    assert not is_foreign(tiny_run)
    assert not is_foreign(tmp_path)
    (tmp_path / "config.json").write_text("[broken")
    assert not is_foreign(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    assert is_foreign(tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "open_clip_config.json").write_text("{}")
    assert is_foreign(tmp_path)
