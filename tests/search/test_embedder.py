"""Names of models: the same for a process in any folder."""

from pathlib import Path

import pytest

from amodal.search import lasting_name


def test_what_names_a_file_here_names_it_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "clip").mkdir(parents=True)
    (tmp_path / "weights.pt").touch()
    monkeypatch.chdir(tmp_path)
    for name, lasting in {
        "models/clip": f"{tmp_path}/models/clip",
        "hf:models/clip": f"hf:{tmp_path}/models/clip",
        "open_clip:ViT-B-32:weights.pt": f"open_clip:ViT-B-32:{tmp_path}/weights.pt",
        "timm:resnet18+hf:models/clip": f"timm:resnet18+hf:{tmp_path}/models/clip",
        "openai/clip-vit-base-patch32": "openai/clip-vit-base-patch32",
        "open_clip:ViT-B-32:laion2b_s34b_b79k": "open_clip:ViT-B-32:laion2b_s34b_b79k",
    }.items():
        assert lasting_name(name) == lasting
        assert lasting_name(lasting) == lasting
