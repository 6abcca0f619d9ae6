"""Our Transformer: padding, causality and pooling, and each block against PyTorch's own."""

import pytest
import torch
from torch import nn

from amodal.towers import TextTransformer
from amodal.towers.text import _places

IDS = torch.tensor([[3, 5, 7, 9, 2, 0, 0], [4, 4, 6, 8, 1, 5, 2], [9, 2, 0, 0, 0, 0, 0]])
LENGTHS = (5, 7, 2)
MASK = torch.arange(7) < torch.tensor(LENGTHS)[:, None]


def built(**given) -> TextTransformer:
    torch.manual_seed(0)
    options = {"vocabulary": 12, "width": 16, "depth": 2, "heads": 4, "context_length": 10, **given}
    tower = TextTransformer(**options).eval()
    with torch.no_grad():
        for p in tower.parameters():  # far from zero, so that a leak would show
            p.add_(0.1 * torch.randn_like(p))
    return tower


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("pooling", ["end", "mean"])
@torch.no_grad()
def test_padding_never_changes_a_result(causal: bool, pooling: str) -> None:
    tower = built(causal=causal, pooling=pooling).double()  # so that rounding cannot hide a leak
    together = tower(IDS, MASK)
    junk = IDS.masked_fill(~MASK, 11)
    torch.testing.assert_close(tower(junk, MASK).pooled, together.pooled, rtol=0, atol=0)
    assert not together.sequence[~MASK].any()
    for row, length in enumerate(LENGTHS):
        alone = tower(IDS[row : row + 1, :length], MASK[row : row + 1, :length])
        torch.testing.assert_close(together.pooled[row], alone.pooled[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(together.sequence[row, :length], alone.sequence[0], rtol=0, atol=1e-12)


ALIKE = torch.tensor([[3, 5, 7, 9, 2], [3, 5, 8, 2, 0], [3, 5, 7, 9, 2], [4, 5, 7, 9, 2], [3, 5, 0, 0, 0]])
ALIKE_MASK = torch.tensor([5, 4, 5, 5, 2])[:, None] > torch.arange(5)


def test_what_texts_begin_with_in_common_is_computed_once() -> None:
    """3 5 7 9 2, then 8 2 after 3 5, then 4 5 7 9 2: twelve of 21 tokens; the same 5 after a 4 is another."""
    places = _places(ALIKE, ALIKE_MASK, causal=True, shared=True)
    assert len(places.computed) == 12
    assert len(_places(ALIKE, ALIKE_MASK, causal=True, shared=False).computed) == 21
    assert torch.equal(ALIKE.flatten()[places.computed][places.source][ALIKE_MASK], ALIKE[ALIKE_MASK])
    assert torch.equal((places.computed % 5)[places.source][ALIKE_MASK], torch.arange(5).expand(5, 5)[ALIKE_MASK])


def test_shared_beginnings_change_neither_result_nor_gradient() -> None:
    results = []
    for dropout in (0.0, 1e-30):  # any dropout tells the texts of a batch apart, this one drops nothing
        tower = built(dropout=dropout).double().train()
        tokens = tower(ALIKE, ALIKE_MASK)
        (tokens.pooled * torch.arange(1, 81).view(5, 16)).sum().backward()
        results.append([tokens.pooled, tokens.sequence, *(p.grad for p in tower.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_dropout_tells_texts_apart() -> None:
    tower = built(dropout=0.5).train()
    pooled = tower(ALIKE, ALIKE_MASK).pooled
    assert not torch.equal(pooled[0], pooled[2])
    assert torch.equal(*tower.eval()(ALIKE, ALIKE_MASK).pooled[[0, 2]])


@torch.no_grad()
def test_an_exported_tower_serves_other_texts_too() -> None:
    tower = built()
    exported = torch.export.export(tower, (IDS, MASK)).module()
    for ids, mask in ((IDS, MASK), (IDS[[0, 0, 2]], MASK[[0, 0, 2]])):
        torch.testing.assert_close(exported(ids, mask), tower(ids, mask), rtol=0, atol=1e-5)


@torch.no_grad()
def test_causal_tokens_do_not_see_later_ones() -> None:
    changed = IDS.clone()
    changed[1, 4:] = torch.tensor([10, 10, 3])
    before, after = built()(IDS, MASK).sequence[1], built()(changed, MASK).sequence[1]
    assert torch.equal(before[:4], after[:4])
    assert (before[4:] != after[4:]).any(dim=1).all()
    both = built(causal=False)
    assert (both(IDS, MASK).sequence[1] != both(changed, MASK).sequence[1]).any(dim=1).all()


@torch.no_grad()
def test_end_pools_the_last_real_token_and_mean_the_real_ones() -> None:
    end, mean = built()(IDS, MASK), built(pooling="mean")(IDS, MASK)
    for row, length in enumerate(LENGTHS):
        assert torch.equal(end.pooled[row], end.sequence[row, length - 1])
        torch.testing.assert_close(mean.pooled[row], mean.sequence[row, :length].mean(dim=0), rtol=0, atol=1e-6)


@torch.no_grad()
def test_word_order_matters() -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    pooled = built(causal=False, pooling="mean")(torch.tensor([[3, 4, 5], [5, 4, 3]]), mask).pooled
    assert (pooled[0] - pooled[1]).abs().max() > 1e-3


@pytest.mark.parametrize("causal", [True, False])
@torch.no_grad()
def test_a_block_is_pytorchs_own_layer(causal: bool) -> None:
    tower = built(causal=causal)
    block = tower.blocks[0]
    layer = nn.TransformerEncoderLayer(16, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True).eval()
    names = {
        "self_attn.in_proj_weight": "qkv.weight",
        "self_attn.in_proj_bias": "qkv.bias",
        "self_attn.out_proj.weight": "out.weight",
        "self_attn.out_proj.bias": "out.bias",
        "linear1.weight": "up.weight",
        "linear1.bias": "up.bias",
        "linear2.weight": "down.weight",
        "linear2.bias": "down.bias",
        "norm1.weight": "attention_norm.weight",
        "norm1.bias": "attention_norm.bias",
        "norm2.weight": "feed_norm.weight",
        "norm2.bias": "feed_norm.bias",
    }
    state = block.state_dict()
    layer.load_state_dict({theirs: state[ours] for theirs, ours in names.items()})
    x = torch.randn(3, 7, 16)
    square = torch.ones(7, 7, dtype=torch.bool).tril() if causal else torch.ones(7, 7, dtype=torch.bool)
    expected = layer(x, src_mask=~square, src_key_padding_mask=~MASK)
    places = _places(IDS, MASK, causal=causal, shared=False)
    torch.testing.assert_close(places.spread(block(x[MASK], places))[MASK], expected[MASK], rtol=0, atol=1e-5)


def test_the_order_of_rows_does_not_matter() -> None:
    tower, order = built(), torch.tensor([2, 0, 1])
    with torch.no_grad():
        torch.testing.assert_close(tower(IDS[order], MASK[order]).pooled, tower(IDS, MASK).pooled[order])


def test_an_empty_text_gives_numbers_and_gradients() -> None:
    tower = built()
    pooled = tower(IDS, torch.zeros_like(MASK)).pooled
    pooled.sum().backward()
    assert pooled.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in tower.parameters())


def test_dropout_only_in_training() -> None:
    tower = built(dropout=0.5)
    with torch.no_grad():
        assert torch.equal(tower(IDS, MASK).pooled, tower(IDS, MASK).pooled)
        tower.train()
        assert not torch.equal(tower(IDS, MASK).pooled, tower(IDS, MASK).pooled)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width 16 is not a multiple of heads 3"):
        built(heads=3)


def test_it_learns_to_tell_word_order() -> None:
    """Does the word 3 come before the word 4? Chance 0.5."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.stack([torch.randperm(4, generator=draw) + 3 for _ in range(96)])
    label = ((ids == 3).int().argmax(1) < (ids == 4).int().argmax(1)).long()
    torch.manual_seed(0)
    tower = TextTransformer(vocabulary=7, width=16, depth=1, heads=2, context_length=4, pooling="mean")
    head = nn.Linear(16, 2)
    optimizer = torch.optim.AdamW([*tower.parameters(), *head.parameters()], lr=1e-2)
    mask = torch.ones_like(ids, dtype=torch.bool)
    for _ in range(40):
        loss = nn.functional.cross_entropy(head(tower(ids, mask).pooled), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        right = (head(tower(ids, mask).pooled).argmax(1) == label).float().mean()
    assert right > 0.95
