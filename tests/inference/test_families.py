"""Models of other libraries: every vector is that of the library itself, whatever is asked, alone or with others."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tiny_families as made
import torch
from PIL import Image
from torch import nn

import amodal
from amodal.core.errors import UsageError, WeightsError
from amodal.data.rows import SkipLog
from amodal.inference import Model
from amodal.inference.opened import as_row


class Pair(NamedTuple):
    """A model opened by us and by its library."""

    model: Model
    peer: Any
    folder: Path


FAMILIES = [*made.TRANSFORMERS.items(), *made.OPENCLIP.items()]


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family[0])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    name, make = request.param
    if name in made.OPENCLIP:
        pytest.importorskip("open_clip")
    folder = tmp_path_factory.mktemp("family") / "model"
    peer = make(folder)
    return Pair(amodal.load(peer.source, device="cpu"), peer, folder)


def test_pictures_of_every_kind_agree_together_and_alone(pair: Pair) -> None:
    pictures = made.pictures()
    theirs = pair.peer.images(pictures)
    assert np.abs(theirs[:, None] - theirs[None, :5]).max(axis=2)[5:].max() > 1e-3  # pictures are told apart
    np.testing.assert_allclose(pair.model.encode_image(pictures), theirs, atol=1e-4)
    fresh = _without_cache(pair.model)
    for picture, vector in zip(pictures, theirs, strict=True):
        np.testing.assert_allclose(fresh.encode_image(picture), vector, atol=1e-4)
        np.testing.assert_allclose(pair.peer.images([picture])[0], vector, atol=1e-4)


def test_texts_of_every_length_agree_together_and_alone(pair: Pair) -> None:
    theirs = pair.peer.texts(made.TEXTS)
    apart = np.abs(theirs[:, None] - theirs[None]).max(axis=2)
    assert apart[~np.eye(len(theirs), dtype=bool)].min() > 1e-3
    np.testing.assert_allclose(pair.model.encode_text(made.TEXTS), theirs, atol=1e-4)
    fresh = _without_cache(pair.model)
    for text, vector in zip(made.TEXTS, theirs, strict=True):
        np.testing.assert_allclose(fresh.encode_text(text), vector, atol=1e-4)


def test_a_text_is_cut_before_its_end_token(pair: Pair) -> None:
    tokenizer = pair.model.encoder.tokenizer
    longest = "a red circle beside a blue square " * 40
    assert tokenizer.lengths([longest])[0] > tokenizer.context_length
    (short_L, long_L), (short_mask_L, long_mask_L) = tokenizer(["cat", longest])
    assert len(long_L) == tokenizer.context_length
    assert long_L[long_mask_L][-1] in short_L[short_mask_L][1:]


def test_the_model_labels_compares_and_names_itself(pair: Pair, tmp_path: Path) -> None:
    picture = made.pictures()[0]
    (best, second) = pair.model.classify(picture, ["a cat", "a dog"])
    assert best["share"] + second["share"] == pytest.approx(1)
    assert pair.model.similarity(picture, ["cat"])[0, 0] == pytest.approx(
        float(pair.peer.images([picture])[0] @ pair.peer.texts(["cat"])[0]), abs=1e-4
    )
    moved = shutil.copytree(pair.folder, tmp_path / "moved")
    again = amodal.load(pair.peer.source.replace(str(pair.folder), str(moved)), device="cpu")
    assert again.fingerprint == pair.model.fingerprint
    with torch.no_grad():
        next(again.encoder.model.text_tower.parameters()).add_(1)
    assert replace(again.encoder).fingerprint != pair.model.fingerprint


def test_transparent_pictures_are_seen_on_white(tmp_path: Path) -> None:
    peer = made.clip(tmp_path / "clip")
    square = Image.new("RGBA", (40, 30), (200, 0, 0, 0))
    square.paste((0, 0, 200, 255), (10, 10, 20, 20))
    white = Image.alpha_composite(Image.new("RGBA", square.size, "white"), square)
    np.testing.assert_allclose(amodal.load(peer.source).encode_image(square), peer.images([white])[0], atol=1e-4)


def test_a_jpeg_is_seen_in_full(tmp_path: Path) -> None:
    peer, path = made.clip(tmp_path / "clip"), tmp_path / "large.jpg"
    made.pictures()[0].resize((900, 600)).save(path, quality=80)
    np.testing.assert_allclose(
        amodal.load(peer.source).encode_image(path), peer.images([Image.open(path)])[0], atol=1e-4
    )


def test_wrong_padding_would_be_seen(tmp_path: Path) -> None:
    """The guard of this file: SigLIP padded to the longest text gives other vectors."""
    peer = made.siglip(tmp_path / "siglip")
    model = amodal.load(peer.source)
    tokenizer: Any = model.encoder.tokenizer
    assert tokenizer.fixed_length
    tokenizer.fixed_length = False
    assert np.abs(_without_cache(model).encode_text("cat") - peer.texts(["cat"])[0]).max() > 1e-2


def test_two_towers_joined(tmp_path: Path) -> None:
    peer, pictures = made.joined(tmp_path), made.pictures()
    model = amodal.load(peer.source)
    known = model.encoder.tower_images([as_row(picture, n) for n, picture in enumerate(pictures)], SkipLog(limit=0.0))
    said = model.encoder.tower_texts(made.TEXTS)
    assert known is not None
    assert said is not None
    np.testing.assert_allclose(nn.functional.normalize(known[0][0], dim=-1), peer.images(pictures), atol=1e-4)
    np.testing.assert_allclose(nn.functional.normalize(said, dim=-1), peer.texts(made.TEXTS), atol=1e-4)
    assert model.similarity(pictures, made.TEXTS).shape == (len(pictures), len(made.TEXTS))
    assert amodal.load(peer.source).fingerprint == model.fingerprint  # fresh heads are the same every time
    with pytest.raises(UsageError, match="one tower; join it"):
        amodal.load(peer.source.partition("+")[0])


def test_names_that_mean_nothing_say_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"nobody/nothing.*without a network.*hf download.*FOLDER"):
        amodal.load("nobody/nothing")
    with pytest.raises(UsageError, match=r"there is no model at nowhere; give a run folder, .*hub name"):
        amodal.load("nowhere")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(UsageError, match="there is no model at runs/typo"):  # a slip in a path is not asked of a hub
        amodal.load("runs/typo")
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"")
    with pytest.raises(UsageError, match="open_clip:ARCHITECTURE:"):
        amodal.load(file)


def test_every_verb_takes_such_a_model(tmp_path: Path, shapes: Path, cli: Callable[..., Any]) -> None:
    source = made.clip(tmp_path / "clip").source
    picture = next(shapes.parent.glob("*.png"))
    answer = cli("classify", picture, "--labels", "a,b", "--model", source, "--json")
    assert answer.code == 0, answer.err
    answer = cli("encode", shapes, "--out", tmp_path / "v.parquet", "--model", source)
    assert answer.code == 0, answer.err
    answer = cli("evaluate", source, "--data", shapes, "--json")
    assert answer.code == 0, answer.err
    assert "image_to_text/R@1" in answer.out
    answer = cli("evaluate", source)
    assert answer.code == 2
    assert "--data" in answer.err
    answer = cli("doctor", shapes, "--model", source, "--out", tmp_path / "doctor", "--json")
    assert answer.code == 0, answer.err


def test_it_is_calibrated_on_pairs_of_ones_own(tmp_path: Path, cli: Callable[..., Any]) -> None:
    source, rows = made.clip(tmp_path / "clip").source, ["image,caption"]
    for number in range(24):
        Image.new("RGB", (24, 24), (number * 10, 255 - number * 10, number * 77 % 256)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,a square of tone {number}")
    (tmp_path / "tones.csv").write_text("\n".join(rows))
    answer = cli("calibrate", source)
    assert answer.code == 2
    assert "--data" in answer.err
    assert cli("calibrate", "nobody/nothing", "--data", tmp_path / "tones.csv").code == 2  # where to write it?
    answer = cli("calibrate", source, "--data", tmp_path / "tones.csv", "--json")
    assert answer.code == 0, answer.err
    (best, _) = amodal.load(source).classify(made.pictures()[0], ["a cat", "a dog"])
    assert best["probability"] is not None


def test_an_index_takes_such_a_model(tmp_path: Path, shapes: Path, cli: Callable[..., Any]) -> None:
    pytest.importorskip("lancedb")
    source, index = made.clip(tmp_path / "clip").source, tmp_path / "index"
    answer = cli("index", shapes, "--out", index, "--model", source, "--json")
    assert answer.code == 0, answer.err
    answer = cli("search", index, "a red circle", "--json")  # by the model that made it
    assert answer.code == 0, answer.err
    assert '"path"' in answer.out
    other = made.siglip(tmp_path / "siglip").source
    assert cli("search", index, "a red circle", "--model", other).code != 0


def _without_cache(model: Model) -> Model:
    """The same model with nothing remembered, so that all is computed alone."""
    return Model(replace(model.encoder, cache=None), name=model.name, logit_scale=0.0, templates="plain")
