"""Attention against torch.nn.MultiheadAttention, value and gradient; rows with nothing to see; maps on request."""

import pytest
import torch
from torch import nn

from amodal.fusion import Attention, CrossBlock, SelfBlock, attention_maps

WIDTH, HEADS = 12, 3
SEEN_MASK = torch.tensor([[True, True, True, False, False], [True] * 5, [False, True, False, True, True]])


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    asking = torch.randn(3, 4, WIDTH, dtype=torch.double, requires_grad=True)
    return asking, torch.randn(3, 5, WIDTH, dtype=torch.double, requires_grad=True)


def built() -> Attention:
    torch.manual_seed(0)
    layer = Attention(WIDTH, HEADS).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return layer


def torch_twin(layer: Attention) -> nn.MultiheadAttention:
    """PyTorch's own with the same weights."""
    twin = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).double()
    with torch.no_grad():
        twin.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key_value.weight]))
        twin.in_proj_bias.copy_(torch.cat([layer.query.bias, layer.key_value.bias]))
        twin.out_proj.load_state_dict(layer.out.state_dict())
    return twin


def test_value_gradient_and_weights_are_those_of_multihead_attention() -> None:
    layer = built()
    twin = torch_twin(layer)
    asking, seen = inputs()
    with attention_maps(layer) as maps:
        ours = layer(asking, seen, SEEN_MASK)
    theirs, weights = twin(asking, seen, seen, key_padding_mask=~SEEN_MASK, average_attn_weights=False)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(maps[""][0], weights, rtol=0, atol=1e-12)
    target = torch.randn_like(ours)
    of_ours = torch.autograd.grad((ours * target).sum(), [asking, seen, *layer.query.parameters()])
    of_theirs = torch.autograd.grad((theirs * target).sum(), [asking, seen, twin.in_proj_weight, twin.in_proj_bias])
    for one, other in zip(of_ours[:2], of_theirs[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    for one, other in zip(of_ours[2:], of_theirs[2:], strict=True):
        torch.testing.assert_close(one, other[:WIDTH], rtol=0, atol=1e-12)


def test_a_self_block_is_a_pre_norm_transformer_layer() -> None:
    torch.manual_seed(0)
    block = SelfBlock(WIDTH, HEADS).double()
    twin = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    twin.self_attn = torch_twin(block.attention)
    for theirs, ours in (
        (twin.norm1, block.norm), (twin.norm2, block.feed.norm), (twin.linear1, block.feed.up),
        (twin.linear2, block.feed.down),
    ):  # fmt: skip
        theirs.load_state_dict(ours.state_dict())
    _, x = inputs()
    ours, theirs = block(x, SEEN_MASK), twin(x, src_key_padding_mask=~SEEN_MASK)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    target = torch.randn_like(ours)
    (of_ours,), (of_theirs,) = (torch.autograd.grad((y * target).sum(), x) for y in (ours, theirs))
    torch.testing.assert_close(of_ours, of_theirs, rtol=0, atol=1e-12)


def test_a_row_that_sees_nothing_takes_over_the_bias_alone_and_has_finite_gradients() -> None:
    layer = built()
    asking, seen = inputs()
    mask = SEEN_MASK.clone()
    mask[1] = False
    with attention_maps(layer) as maps:
        out = layer(asking, seen, mask)
    torch.testing.assert_close(out[1], layer.out.bias.expand(4, -1), rtol=0, atol=1e-12)
    assert not maps[""][0][1].any()
    torch.testing.assert_close(out[[0, 2]], layer(asking, seen, SEEN_MASK)[[0, 2]], rtol=0, atol=1e-12)
    out.square().sum().backward()
    assert asking.grad is not None
    assert asking.grad.isfinite().all()
    assert seen.grad is not None
    assert not seen.grad[1].any()


def test_maps_are_kept_only_inside_and_change_nothing() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"words": CrossBlock(WIDTH, HEADS), "places": SelfBlock(WIDTH, HEADS)}).double()
    asking, seen = inputs()
    with attention_maps(model) as maps:
        inside = model["words"](asking, seen, SEEN_MASK)
    assert torch.equal(inside, model["words"](asking, seen, SEEN_MASK))
    assert {name: len(kept) for name, kept in maps.items()} == {"words.attention": 1, "places.attention": 0}
    (weights,) = maps["words.attention"]
    assert weights.shape == (3, HEADS, 4, 5)
    assert not weights.requires_grad
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, HEADS, 4, dtype=torch.double))
    assert not weights.masked_select(~SEEN_MASK[:, None, None]).any()


def test_no_weights_are_computed_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise AssertionError("weights were computed")

    monkeypatch.setattr("amodal.fusion.attention._weights", fails)
    layer = built()
    layer(*inputs(), SEEN_MASK)
    with pytest.raises(AssertionError), attention_maps(layer):
        layer(*inputs(), SEEN_MASK)
    assert layer.recorded is None


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="12 is not a multiple of heads 5"):
        Attention(12, 5)
