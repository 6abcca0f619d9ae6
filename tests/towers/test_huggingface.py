"""Encoders of transformers: a tiny random BERT written to a folder here; nothing is fetched."""

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from amodal.core.errors import RecipeError
from amodal.towers import HuggingFaceTextTower

IDS = torch.tensor([[3, 5, 7, 2, 0, 0], [4, 4, 6, 8, 1, 2]])
MASK = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]], dtype=torch.bool)
CONFIG = BertConfig(
    vocab_size=12,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=20,
    initializer_range=0.5,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    BertModel(CONFIG).save_pretrained(path)
    return path


@pytest.mark.parametrize("pooling", ["mean", "first"])
@torch.no_grad()
def test_padding_never_changes_a_result(folder: Path, pooling) -> None:
    tower = HuggingFaceTextTower(str(folder), pooling=pooling).eval()
    together = tower(IDS, MASK)
    alone = tower(IDS[:1, :4], MASK[:1, :4])
    torch.testing.assert_close(together.pooled[:1], alone.pooled, rtol=0, atol=1e-6)
    torch.testing.assert_close(together.sequence[:1, :4], alone.sequence, rtol=0, atol=1e-6)
    assert torch.equal(tower(IDS.masked_fill(~MASK, 9), MASK).pooled, together.pooled)
    assert not together.sequence[~MASK].any()


def test_parts_by_length_give_what_the_whole_batch_gives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty texts of 1 to 20 tokens in three parts: vectors, gradients, and tokens read."""
    length = torch.randint(1, 21, (40,), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(20) < length[:, None]
    ids = torch.randint(1, 12, (40, 20), generator=torch.Generator().manual_seed(1)).where(mask, 0)
    tower = HuggingFaceTextTower(str(folder)).eval()
    results, seen = [], []
    tower.network.register_forward_pre_hook(
        lambda _, args, given: seen.append(given["input_ids"].shape), with_kwargs=True
    )
    for rows in (16, 40):
        monkeypatch.setattr("amodal.towers.huggingface.FEWEST_ROWS_CPU", rows)
        tower.zero_grad()
        tokens = tower(ids, mask)
        (tokens.pooled * torch.arange(640).view(40, 16) / 640).sum().backward()
        gradients = [p.grad for p in tower.parameters() if p.grad is not None]
        results.append([tokens.sequence, tokens.pooled, *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert [shape[0] for shape in seen] == [16, 16, 8, 40]
    assert sum(shape.numel() for shape in seen[:-1]) < 0.75 * seen[-1].numel()
    assert seen[0][1] == length.sort().values[15]


@torch.no_grad()
def test_it_is_the_network_of_the_folder_pooled_by_hand(folder: Path) -> None:
    raw = BertModel.from_pretrained(folder).eval()(input_ids=IDS, attention_mask=MASK.long()).last_hidden_state
    mean = HuggingFaceTextTower(str(folder)).eval()(IDS, MASK)
    torch.testing.assert_close(mean.pooled[0], (raw[0, 0] + raw[0, 1] + raw[0, 2] + raw[0, 3]) / 4, rtol=0, atol=1e-6)
    torch.testing.assert_close(mean.pooled[1], raw[1].mean(dim=0), rtol=0, atol=1e-6)
    first = HuggingFaceTextTower(str(folder), pooling="first").eval()(IDS, MASK)
    torch.testing.assert_close(first.pooled, raw[:, 0], rtol=0, atol=1e-6)
    assert mean.sequence.shape == (2, 6, 16)
    assert torch.equal(mean.mask, MASK)


def test_width_and_context_length(folder: Path) -> None:
    tower = HuggingFaceTextTower(str(folder))
    assert (tower.width, tower.context_length) == (16, 20)


def test_an_empty_text_gives_numbers(folder: Path) -> None:
    with torch.no_grad():
        pooled = HuggingFaceTextTower(str(folder)).eval()(IDS, torch.zeros_like(MASK)).pooled
    assert pooled.isfinite().all()


def test_without_weights_the_architecture_is_fresh(folder: Path) -> None:
    stored = HuggingFaceTextTower(str(folder)).state_dict()
    for config in (None, CONFIG):
        fresh = HuggingFaceTextTower(str(folder), pretrained=False, config=config).state_dict()
        assert {name: t.shape for name, t in fresh.items()} == {name: t.shape for name, t in stored.items()}
        name = "network.encoder.layer.0.output.dense.weight"
        assert not torch.equal(fresh[name], stored[name])


def test_a_missing_folder_says_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    missing = tmp_path / "absent"
    with pytest.raises(RecipeError, match="give a local folder") as caught:
        HuggingFaceTextTower(str(missing))
    assert str(missing) in str(caught.value)


def test_a_folder_without_weights_is_said_so(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(RecipeError, match="cannot load the text tower"):
        HuggingFaceTextTower(str(tmp_path))


def test_pickled_weights_and_code_are_refused(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(BertModel(CONFIG).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(RecipeError, match="cannot load the text tower"):
        HuggingFaceTextTower(str(tmp_path))
    foreign = tmp_path / "code"
    foreign.mkdir()
    del config["model_type"]
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (foreign / "config.json").write_text(json.dumps(config))
    (foreign / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(RecipeError):
        HuggingFaceTextTower(str(foreign))
    assert not (tmp_path / "ran").exists()
