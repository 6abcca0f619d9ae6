"""Run folders read back: what is foreign, damaged or missing is said, never guessed."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from amodal.core.errors import DataError, RecipeError, RunError
from amodal.data.tokenizers import train_bpe
from amodal.features import FeatureCache
from amodal.recipes import Loaded, Recipe, evaluate_run, load_recipe, load_run, resume, run_recipe
from amodal.runs import History, RunFolder
from amodal.training import Stopped

CPU = torch.device("cpu")


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(tiny_run, tmp_path / "run"))


def load(run: RunFolder) -> Loaded:
    return load_run(run.path, device=CPU, cache=FeatureCache())


def test_weights_and_scale_come_back(run: RunFolder) -> None:
    loaded = load(run)
    stored = load_file(run.weights)
    assert loaded.logit_scale == pytest.approx(stored["task.objective.logit_scale"].item())
    state = loaded.encoder.model.state_dict()
    assert all(
        torch.equal(state[key.removeprefix("model.")], value) for key, value in stored.items() if "task" not in key
    )
    assert not loaded.encoder.model.training


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with an image network as timm keeps it, and one with a text network as transformers does."""
    network: Any = timm.create_model("test_resnet", stem_type="deep")
    described = {
        "architecture": "test_resnet",
        "pretrained_cfg": {**network.pretrained_cfg, "mean": [0.4, 0.4, 0.4]},
        "model_args": {"stem_type": "deep"},
    }
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "config.json").write_text(json.dumps(described))
    save_file(network.state_dict(), tmp_path / "image" / "model.safetensors")
    words = train_bpe(["a red circle"], vocabulary=300, context_length=12)
    config = BertConfig(
        vocab_size=words.vocabulary,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
    )
    BertModel(config).save_pretrained(tmp_path / "text")
    words.save(tmp_path / "text" / "tokenizer.json")
    return tmp_path


def of_folders(tiny_recipe: Path, foreign: Path, *, trainable: bool, epochs: int = 1) -> Recipe:
    overrides = [
        f"model.image.name=local-dir:{foreign}/image",
        "model.image.pretrained=true",
        f"model.image.trainable={trainable}",
        f"model.text={{tower: huggingface, source: {foreign}/text, trainable: {trainable}, pooling: first}}",
        f"model.text.tokenizer={foreign}/text/tokenizer.json",
        f"training.epochs={epochs}",
        "training.evaluate_every=1",
    ]
    return load_recipe(str(tiny_recipe), overrides)


@pytest.mark.parametrize("trainable", [True, False])
def test_what_towers_were_made_from_may_be_gone(tiny_recipe: Path, foreign: Path, trainable: bool) -> None:
    recipe = of_folders(tiny_recipe, foreign, trainable=trainable)
    done = run_recipe(recipe, foreign / "run", device=CPU, cache=FeatureCache(), say=lambda line: None)
    for name in ("image", "text"):
        shutil.rmtree(foreign / name)
    figures = evaluate_run(done.folder.path, device=CPU, cache=FeatureCache(), say=lambda line: None)
    assert figures == done.figures
    assert load(done.folder).encoder.model.image_tower.preprocessing.mean == (0.4, 0.4, 0.4)


@pytest.mark.parametrize("trainable", [True, False])
def test_a_stopped_run_goes_on_without_what_towers_were_made_from(
    tiny_recipe: Path, foreign: Path, monkeypatch: pytest.MonkeyPatch, trainable: bool
) -> None:
    recipe = of_folders(tiny_recipe, foreign, trainable=trainable, epochs=3)
    whole = run_recipe(recipe, foreign / "whole", device=CPU, cache=FeatureCache(), say=lambda line: None)
    append = History.append

    def interrupt(history: History, row: Any) -> None:
        append(history, row)
        if row["epoch"] == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(History, "append", interrupt)
    with pytest.raises(Stopped):
        run_recipe(recipe, foreign / "run", device=CPU, cache=FeatureCache(), say=lambda line: None)
    for name in ("image", "text"):
        shutil.rmtree(foreign / name)
    done = resume(foreign / "run", device=CPU, cache=FeatureCache(), say=lambda line: None)
    assert done.folder.weights.read_bytes() == whole.folder.weights.read_bytes()
    assert done.figures == whole.figures


@pytest.mark.parametrize("extra", [(), ("model.image.trainable=false", "model.image.conse=true")])
def test_pretrained_weights_are_not_asked_for_again(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]
) -> None:
    asked: list[bool] = []

    def create_model(*given: Any, pretrained: bool = False, **named: Any) -> Any:
        asked.append(pretrained)
        return plain(*given, **named)

    plain = timm.create_model
    monkeypatch.setattr("timm.create_model", create_model)
    recipe = load_recipe(str(tiny_recipe), ["model.image.pretrained=true", "training.epochs=1", *extra])
    done = run_recipe(recipe, tmp_path / "run", device=CPU, cache=FeatureCache(), say=lambda line: None)
    assert asked == [True]
    load(done.folder)
    assert asked == [True, False]


def test_no_weights_yet(run: RunFolder) -> None:
    run.weights.unlink()
    with pytest.raises(RunError, match="has no weights yet; go on with: amodal train --resume"):
        load(run)


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_damaged_weights(run: RunFolder, keep: int) -> None:
    run.weights.write_bytes(run.weights.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"model\.safetensors cannot be read .* copy it again or train anew"):
        load(run)


def test_a_pickle_under_the_name_of_weights_is_never_opened(run: RunFolder) -> None:
    torch.save({"model": torch.zeros(2)}, run.weights)
    with pytest.raises(RunError, match="cannot be read"):
        load(run)


def test_weights_of_another_model(run: RunFolder) -> None:
    tensors = load_file(run.weights)
    name = "model.image_head.linear.weight"
    name = name if name in tensors else next(key for key in tensors if key.startswith("model.image_head"))
    save_file({key: value for key, value in tensors.items() if key != name}, run.weights)
    with pytest.raises(RunError, match=f"tensor '{name.removeprefix('model.')}' is missing"):
        load(run)
    save_file({**tensors, "model.extra": torch.zeros(2)}, run.weights)
    with pytest.raises(RunError, match="tensor 'extra' is not of this model"):
        load(run)
    save_file({**tensors, name: torch.zeros(1, 1, 1)}, run.weights)
    with pytest.raises(RunError, match=r"is \(1, 1, 1\), the model has"):
        load(run)


def test_what_belongs_to_no_module_is_refused(run: RunFolder) -> None:
    save_file({**load_file(run.weights), "surprise": torch.zeros(2)}, run.weights)
    with pytest.raises(RunError, match="surprise"):
        load(run)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        load(RunFolder(tmp_path))


def test_a_newer_schema(run: RunFolder) -> None:
    run.config.write_text(json.dumps({"schema": 99, "amodal": "9.9"}))
    with pytest.raises(RunError, match="pip install --upgrade amodal"):
        load(run)


def test_a_missing_or_damaged_recipe(run: RunFolder) -> None:
    run.recipe.write_text("model: [")
    with pytest.raises(RecipeError, match="is not YAML"):
        load(run)
    run.recipe.unlink()
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        load(run)


def test_a_missing_tokenizer(run: RunFolder) -> None:
    run.tokenizer.unlink()
    with pytest.raises(DataError, match=r"tokenizer\.json is not a tokenizer\.json"):
        load(run)
