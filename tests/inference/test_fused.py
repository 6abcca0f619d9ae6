"""Runs that learnt from scenes in use: the same scores as when judged, answers of the list, clear refusals."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import amodal
from amodal.core.batch import Tokens
from amodal.core.errors import DataError, RunError, UsageError
from amodal.inference import FusedModel, load_any, load_fused
from amodal.recipes import Finished
from amodal.towers import StageTower


@pytest.fixture(scope="module")
def runs(scene_run: Callable[[str], Finished]) -> dict[str, Path]:
    return {name: scene_run(name).folder.path for name in ("matching", "answering")}


def opened(path: Path) -> FusedModel:
    return load_fused(path, device="cpu")


def test_scores_are_those_of_the_judge(runs: dict[str, Path]) -> None:
    """Up to the half precision in which a judge's maps and words are kept."""
    model = opened(runs["matching"])
    lines = model.source.lines("seen")
    numbers = list(range(len(lines.lines)))
    with torch.inference_mode():
        wanted = model.model(lines.batch(numbers)).fit_B
    pictures = [Image.fromarray(model.source.scenes("seen")[line.scene].picture) for line in lines.lines]
    said = [each.text for scene in model.source.scenes("seen").stream() for each in model.source.said(scene)]
    found = torch.from_numpy(model.match(pictures, said))
    assert len(found) > 32  # more than one batch
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.02)
    assert wanted.std() > 0.02


def test_a_picture_that_recurs_is_looked_at_once(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = opened(runs["matching"]), []
    one, other = (Image.fromarray(model.source.scenes("seen")[number].picture) for number in (0, 1))
    shown, said = [one, other, one, other, one], ["a cat", "a cat", "a red dog", "two dogs", "a cat left of a dog"]
    apart = [model.match([picture], [text])[0] for picture, text in zip(shown, said, strict=True)]
    plain = StageTower.forward

    def forward(self: StageTower, pixels: torch.Tensor) -> Tokens:
        seen.append(len(pixels))
        return plain(self, pixels)

    monkeypatch.setattr(StageTower, "forward", forward)
    np.testing.assert_allclose(model.match(shown, said), apart, atol=1e-4)
    assert seen == [2]


def test_answers_are_on_the_list(runs: dict[str, Path]) -> None:
    model = opened(runs["answering"])
    scene = model.source.scenes("seen")[0]
    asked = [question.text for question in scene.questions]
    said = model.answer([Image.fromarray(scene.picture)] * len(asked), asked)
    assert len(said) == len(asked)
    assert set(said) <= set(model.source.answers)
    assert model.answer([], []) == []


def test_what_cannot_be_done_is_told(runs: dict[str, Path], tiny_run: Path, tmp_path: Path) -> None:
    model, broken = opened(runs["matching"]), tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(UsageError, match="learnt matching; for this train one with: amodal train answering"):
        model.answer([], [])
    with pytest.raises(UsageError, match="1 pictures go with 0 texts"):
        model.match([broken], [])
    with pytest.raises(DataError, match=r"broken\.png"):
        model.match([broken], ["a cat"])
    with pytest.raises(RunError, match=r"open it with amodal\.load_fused"):
        amodal.load(runs["matching"])
    with pytest.raises(RunError, match=r"open it with amodal\.load, or"):
        load_fused(tiny_run)
    with pytest.raises(UsageError, match="there is no model at"):
        load_fused(tmp_path / "nothing")
    assert isinstance(load_any(runs["matching"]), FusedModel)
    assert not isinstance(load_any(tiny_run), FusedModel)
    assert load_any("packaged").name == "packaged default"
    assert "matching" in repr(model)
