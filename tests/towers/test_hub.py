"""What transformers loads, and what is refused: unsafe pickles, weights that are not all there, one side alone."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_families as made
import torch
import transformers
from safetensors.torch import load_file, save_file

from amodal.core.errors import WeightsError
from amodal.towers import ForeignImageTower, ForeignTextTower, fingerprint, hub_dual_encoder


class Bomb:
    """A pickle that makes a file when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "clip"
    made.clip(folder)
    return folder


@pytest.fixture
def pickled(clip: Path, tmp_path: Path) -> Path:
    """The same model with its weights as a pickle of tensors."""
    folder = shutil.copytree(clip, tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_a_pickle_of_tensors_is_read(clip: Path, pickled: Path) -> None:
    first, second = (ForeignTextTower(hub_dual_encoder(str(folder))) for folder in (clip, pickled))
    assert fingerprint(first) == fingerprint(second)


def test_a_pickle_of_anything_else_is_refused(pickled: Path, tmp_path: Path) -> None:
    torch.save({"a": Bomb(tmp_path / "mark")}, pickled / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"more than tensors.*get safetensors") as told:
        hub_dual_encoder(str(pickled))
    assert "weights_only" not in str(told.value)
    assert not (tmp_path / "mark").exists()
    torch.load(pickled / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "mark").exists()  # it was one


def test_weights_that_are_not_all_there_are_refused(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "half")
    whole = load_file(folder / "model.safetensors")
    half = {name: tensor for name, tensor in whole.items() if not name.startswith("text_model.encoder")}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"does not hold all weights of a CLIPModel: \d+ are missing.*text_model"):
        hub_dual_encoder(str(folder))


def test_a_text_encoder_alone_is_no_dual_encoder(tmp_path: Path) -> None:
    words = made.wordpiece(tmp_path)
    words.save_pretrained(tmp_path)
    transformers.BertModel(transformers.BertConfig(**made.SIDE, vocab_size=len(words))).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"holds a BertModel.*timm:NETWORK\+hf:ENCODER"):
        hub_dual_encoder(str(tmp_path))


def test_a_folder_without_preprocessing_says_which_file_is_missing(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "bare")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match="preprocessor"):
        hub_dual_encoder(str(folder))


def test_code_beside_weights_is_not_run(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "code")
    config = folder / "config.json"
    asks = '{"auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}, "model_type": "of-its-own"}'
    config.write_text(asks)
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'mark')!r})\n")
    with pytest.raises(WeightsError, match="cannot load"):
        hub_dual_encoder(str(folder))
    assert not (tmp_path / "mark").exists()


def test_each_side_holds_its_own_weights_only(clip: Path) -> None:
    foreign = hub_dual_encoder(str(clip))
    image, text = ForeignImageTower(foreign), ForeignTextTower(foreign)
    sides = [{name for name, _ in tower.network.named_children()} for tower in (image, text)]
    assert sides == [{"vision_model", "visual_projection"}, {"text_model", "text_projection"}]
    assert image.width == text.width == 24
    names = [fingerprint(tower) for tower in (image, text)]
    with torch.no_grad():
        text.network.text_projection.weight.add_(1)
    assert fingerprint(image) == names[0]
    assert fingerprint(text) != names[1]


def test_settings_that_are_not_in_the_weights_change_the_fingerprint(clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip, tmp_path / "other")
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"quick_gelu"', '"gelu"'))
    first, second = (fingerprint(ForeignImageTower(hub_dual_encoder(str(where)))) for where in (clip, folder))
    assert first != second


@pytest.mark.parametrize(("make", "fixed", "context"), [(made.clip, False, 16), (made.siglip, True, 16)])
@pytest.mark.parametrize("most", [8, 100])
def test_padding_and_context_are_the_familys(make: Any, fixed: bool, context: int, most: int, tmp_path: Path) -> None:
    """The tokenizer may say less than there are positions, never more."""
    make(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.model_max_length = most
    tokenizer.save_pretrained(tmp_path)
    foreign = hub_dual_encoder(str(tmp_path))
    assert (foreign.fixed_length, foreign.context_length) == (fixed, min(most, context))


def test_a_family_that_reads_its_padding_is_found_out(clip: Path, tmp_path: Path) -> None:
    """An unknown kind, whose tokenizer gives no mask: only one length is safe."""
    folder = shutil.copytree(clip, tmp_path / "maskless")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, model_input_names=["input_ids"])
    tokenizer.save_pretrained(folder)
    assert hub_dual_encoder(str(folder)).fixed_length
    assert not hub_dual_encoder(str(clip)).fixed_length


def test_halves_are_computed_in_full_precision(clip: Path, tmp_path: Path) -> None:
    transformers.CLIPModel.from_pretrained(clip).half().save_pretrained(tmp_path)
    for name in clip.iterdir():
        if not (tmp_path / name.name).exists():
            shutil.copy(name, tmp_path)
    assert load_file(tmp_path / "model.safetensors")["visual_projection.weight"].dtype == torch.float16
    assert ForeignImageTower(hub_dual_encoder(str(tmp_path))).network.visual_projection.weight.dtype == torch.float32


def test_the_scale_is_a_logarithm(clip: Path, tmp_path: Path) -> None:
    assert hub_dual_encoder(str(clip)).logit_scale == pytest.approx(2.6592)
    made.align(tmp_path)  # which keeps a temperature
    assert hub_dual_encoder(str(tmp_path)).logit_scale == pytest.approx(0.0)
