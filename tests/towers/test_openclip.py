"""open_clip's names, files and folders; what is refused says what there is."""

import sys
from pathlib import Path

import pytest
import tiny_families as made
import torch

from amodal.core.errors import UsageError, WeightsError
from amodal.towers import open_clip_dual_encoder


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    if "without" not in request.node.name:
        pytest.importorskip("open_clip")


def test_without_open_clip_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UsageError, match=r'pip install "amodal\[open-clip\]"'):
        open_clip_dual_encoder("ViT-B-32:openai")


def test_unknown_names_and_tags_are_told_with_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"no 'ViT-B-33'; names like it: ViT-B-32"):
        open_clip_dual_encoder("ViT-B-33:openai")
    for source in ("ViT-B-32", "ViT-B-32:mine"):
        with pytest.raises(UsageError, match=r"name a tag or a file.*laion2b_s34b_b79k"):
            open_clip_dual_encoder(source)


def test_a_tag_without_a_network_says_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"without a network.*give the file"):
        open_clip_dual_encoder("ViT-B-32:laion2b_s34b_b79k")
    with pytest.raises(WeightsError, match=r"without a network give a folder.*hf download nobody/nothing"):
        open_clip_dual_encoder("nobody/nothing")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    made.open_clip_clip(tmp_path)
    (tmp_path / made.WEIGHTS).unlink()
    with pytest.raises(WeightsError, match="holds no weights"):
        open_clip_dual_encoder(str(tmp_path))


def test_unsafe_files_are_refused(tmp_path: Path) -> None:
    source = made.open_clip_file(tmp_path).source.removeprefix("open_clip:")
    weights = tmp_path / "weights.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(weights))
    with pytest.raises(WeightsError, match="TorchScript"):
        open_clip_dual_encoder(source)
    torch.save({"wrong": torch.ones(2)}, weights)
    with pytest.raises(WeightsError, match="cannot load open_clip's amodal-tiny"):
        open_clip_dual_encoder(source)
