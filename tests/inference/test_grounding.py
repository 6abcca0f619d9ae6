"""Where words are in a picture: phrases, boxes and maps by hand, every form of a picture, and what is wrong use."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from amodal.core.batch import Batch
from amodal.core.errors import DataError, RunError, UsageError
from amodal.data.scenes import Scenes
from amodal.inference import FusedModel, load_fused
from amodal.inference.grounding import grounded
from amodal.models import ReadFeatures
from amodal.recipes import Finished
from amodal.recipes.scene_schema import SceneTask

SENTENCE = "a cat left of two red dogs."


@pytest.fixture(scope="module")
def run(scene_run: Callable[[str], Finished]) -> Path:
    """A reader that was trained for a second, on a grid of 8 x 8."""
    return scene_run("matching").folder.path


@pytest.fixture(scope="module")
def reader(run: Path) -> FusedModel:
    return load_fused(run, device="cpu")


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Twice as wide as high."""
    return Image.fromarray(Scenes("seen")[0].picture).resize((256, 128))


class Knowing(torch.nn.Module):
    """Knows that tokens 2 (cat) is in the left column of the grid and 5 to 7 (two red dogs) in its lower right corner,
    and that these alone mean things."""

    def __init__(self, doubt: float = 0.0) -> None:
        super().__init__()
        self.doubt, self.grid = doubt, (4, 4)

    def forward(self, batch: Batch) -> ReadFeatures:
        assert batch.ids is not None
        length = batch.ids.shape[1]
        there = torch.full((1, length, 4, 4), -9.0)
        there[0, 2, :, 0] = 3.0
        there[0, 5:8, 2:, 2:] = 5.0
        there -= self.doubt
        means = torch.full((1, length), -20.0)
        means[0, [2, 5, 6, 7]] = 20.0
        flat = there.flatten(2)
        nothing = (torch.zeros(1, 1),) * 4
        return ReadFeatures(
            torch.zeros(1, 4), torch.tensor([2.0]), torch.zeros(1, 0), flat, flat, flat, means, *nothing
        )


def test_phrases_boxes_and_maps_by_hand(reader: FusedModel, picture: Image.Image) -> None:
    knowing: Any = Knowing()
    found = grounded(knowing, reader.source, picture, SENTENCE)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-2.0)))
    assert [phrase.text for phrase in found.phrases] == ["cat", "two red dogs"]
    assert all(SENTENCE[phrase.start : phrase.end] == phrase.text for phrase in found.phrases)
    cat, dogs = (phrase.box for phrase in found.phrases)
    # where the map between the middles of two places passes even odds: a quarter and 5/14 of the way
    np.testing.assert_allclose(cat, (0, 0, 32 + 64 / 4, 128), atol=2)
    np.testing.assert_allclose(dogs, (160 - 64 * 5 / 14, 80 - 32 * 5 / 14, 256, 128), atol=2)
    assert [word.text for word in found.words] == ["a", "cat", "left", "of", "two", "red", "dogs"]
    assert [word.means > 0.5 for word in found.words] == [False, True, False, False, True, True, True]
    assert found.words[1].map_GG.shape == (4, 4)
    assert found.words[1].map_GG[:, 0] == pytest.approx(1 / (1 + np.exp(-3.0)))
    assert found.words[1].map_GG[:, 1:].max() < 0.001


def test_what_is_nowhere_likely_has_a_box_where_it_is_least_unlikely(reader: FusedModel, picture: Image.Image) -> None:
    doubting: Any = Knowing(8.0)
    cat = grounded(doubting, reader.source, picture, SENTENCE).phrases[0]
    assert cat.probability == pytest.approx(1 / (1 + np.exp(5.0)))
    np.testing.assert_allclose(cat.box, (0, 0, 32 + 64 * 2 / 12, 128), atol=2)  # down to two below the highest


def test_every_form_of_a_picture_gives_the_same(reader: FusedModel, picture: Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "scene.png")
    one = reader.ground(tmp_path / "scene.png", SENTENCE).to_json()
    assert one["size"] == [256, 128]
    assert 0 < one["probability"] < 1
    for form in (picture, (tmp_path / "scene.png").read_bytes(), str(tmp_path / "scene.png")):
        assert reader.ground(form, SENTENCE).to_json() == one
    for phrase in one["phrases"]:
        left, top, right, bottom = phrase["box"]
        assert 0 <= left < right <= 256
        assert 0 <= top < bottom <= 128


def test_a_model_that_learnt_no_matching_says_no_probability(reader: FusedModel, picture: Image.Image) -> None:
    recipe = reader.source.recipe.model_copy(update={"task": SceneTask(name="answering")})
    answering = FusedModel(reader.model, replace(reader.source, recipe=recipe), name="answering")
    assert answering.ground(picture, SENTENCE).probability is None


def test_wrong_use_is_told(reader: FusedModel, tiny_run: Path, picture: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no word to look for"):
        reader.ground(picture, " ... ")
    with pytest.raises(UsageError, match=r"has 302 tokens and 48 are read"):
        reader.ground(picture, "cat " * 300)
    with pytest.raises(DataError, match=r"absent\.png"):
        reader.ground(tmp_path / "absent.png", "a cat")
    with pytest.raises(UsageError, match="no model at"):
        load_fused(tmp_path / "nowhere")
    late = FusedModel(torch.nn.Identity(), reader.source, name="late")
    with pytest.raises(UsageError, match="does not tell where words are; train one with: amodal train matching"):
        late.ground(picture, SENTENCE)
    with pytest.raises(RunError, match="train one with: amodal train matching"):
        load_fused(tiny_run)


def test_the_verb(cli: Callable[..., Any], run: Path, picture: Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "scene.png")
    answer = cli("ground", tmp_path / "scene.png", SENTENCE, "--model", run, "--out", tmp_path / "out.png", "--json")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    assert set(said) == {"path", "sentence", "size", "probability", "phrases", "words"}
    assert np.shape(said["words"][0]["map"]) == (8, 8)
    assert Image.open(tmp_path / "out.png").width > 300
    plain = cli("ground", tmp_path / "scene.png", SENTENCE, "--model", run)
    assert plain.out.startswith("fits: ")
    assert cli("ground", tmp_path / "scene.png", SENTENCE, "--model", tmp_path / "nowhere").code == 2
