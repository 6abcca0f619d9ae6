"""Scenes through frozen towers: what is kept is what the towers say, and batches hold it with its truth."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from amodal.data.scenes import Scenes, trials, word_links
from amodal.data.tokenizers import load_tokenizer
from amodal.features import Line, SceneBatches, SceneLines, places_of, prepare_view, scene_maps, word_states
from amodal.towers import HuggingFaceTextTower, ImagePreprocessing, StageTower, packaged_text_folder

CPU = torch.device("cpu")
SCENES = Scenes("train", seed=2, count=5)
SIDE = 2


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> SceneLines:
    folder = tmp_path_factory.mktemp("kept")
    said = [trials(scene)[0] for scene in SCENES.stream()]
    texts = sorted({caption.text for trial in said for caption in (trial.true, trial.false)})
    spans = tokenizer().spans(texts)
    found = []
    for scene, trial in enumerate(said):
        for caption, fits in ((trial.true, True), (trial.false, False)):
            text = texts.index(caption.text)
            found.append(Line(scene, scene, trial.change, text, word_links(caption, spans[text]), fits))
    return SceneLines(
        maps=scene_maps(tower(), SCENES, folder=folder, device=CPU),
        words=word_states(text_tower(), tokenizer(), texts, folder=folder, device=CPU),
        places=[places_of(scene, SIDE) for scene in SCENES.stream()],
        lines=found,
        groups=[range(2 * scene, 2 * scene + 2) for scene in range(5)],
    )


def tower() -> StageTower:
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    return StageTower(network, (3, 4), ImagePreprocessing(size=64))


def text_tower() -> HuggingFaceTextTower:
    return HuggingFaceTextTower(str(packaged_text_folder())).eval()


def tokenizer():
    return load_tokenizer(packaged_text_folder(), context_length=24)


@torch.inference_mode()
def test_maps_are_what_the_tower_says_and_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = scene_maps(tower(), SCENES, folder=tmp_path, device=CPU)
    pixels = prepare_view(Image.fromarray(SCENES[3].picture), tower().preprocessing, 0)[None]
    np.testing.assert_allclose(maps[3], tower().eval()(pixels).sequence[0], atol=2e-3, rtol=2e-3)
    monkeypatch.setattr("amodal.features.scenes._look", None)
    np.testing.assert_array_equal(scene_maps(tower(), SCENES, folder=tmp_path, device=CPU), maps)


@torch.inference_mode()
def test_word_states_are_what_the_tower_says(lines: SceneLines) -> None:
    captions = [trials(scene)[0].true.text for scene in SCENES.stream()]
    ids, mask = tokenizer()(captions)
    said = text_tower()(ids, mask)
    found = lines.words.tokens([line.text for line in lines.lines[::2]])
    assert torch.equal(found.mask, mask)
    torch.testing.assert_close(found.sequence, said.sequence, rtol=2e-3, atol=2e-3)
    assert not found.sequence[~mask].any()


def test_a_batch_holds_both_captions_of_a_group_with_their_truth(lines: SceneLines) -> None:
    batch = lines.batch([0, 1, 6, 7])
    assert batch.pair_id.tolist() == [0, 0, 3, 3]
    assert batch.truth["fits"].tolist() == [True, False, True, False]
    assert batch.image is not None
    assert batch.picture is not None
    assert batch.picture.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(batch.image.sequence, lines.maps[[0, 3]].astype(np.float32))
    token, things = lines.lines[6].links[0]
    covers, centres = (batch.truth[name][2, token] for name in ("covers", "centres"))
    assert batch.truth["linked"][2, token]
    assert centres.sum() == pytest.approx(len(things), rel=1e-5)
    shown = SCENES[3].masks[list(things)].any(axis=0).reshape(SIDE, 64, SIDE, 64).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(covers, shown, rtol=1e-5)
    assert not batch.truth["covers"][~batch.truth["linked"]].any()


def test_steps_are_the_same_for_the_same_number_and_an_epoch_shows_every_scene_once(lines: SceneLines) -> None:
    batches = SceneBatches(lines, size=2, each=1, seed=0)
    assert batches.steps_per_epoch == 2
    whole = list(batches.steps(0, 4))
    (third,) = batches.steps(2, 3)
    assert third.key == whole[2].key
    scenes = [{int(pair) for pair in batch.pair_id} for batch in whole]
    assert len(scenes[0] | scenes[1]) == 4
    assert [batch.key for batch in whole[:2]] != [batch.key for batch in whole[2:]]
    other = SceneBatches(lines, size=2, each=1, seed=1)
    assert [batch.key for batch in other.steps(0, 4)] != [batch.key for batch in whole]
