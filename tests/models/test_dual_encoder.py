"""Two towers, one space: unit length, inputs standardised, cached features in the place of pixels."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, Tokens
from amodal.models import DualEncoder, ProjectionHead, Standardise


class Flat(nn.Module):
    """A tower that flattens pixels, or looks up ids, into a pooled vector."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.LazyLinear(width)

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tokens:
        pooled = self.layer(values.float().flatten(1))
        return Tokens(pooled[:, None], torch.ones(len(pooled), 1, dtype=torch.bool), pooled)


def built(**given: Any) -> DualEncoder:
    torch.manual_seed(0)
    heads = [ProjectionHead(width, 6, **given) for width in (10, 7)]
    return DualEncoder(Flat(10), Flat(7), *heads).eval()


def batch_of(**given: Any) -> Batch:
    return Batch(pair_id=torch.arange(5), key=tuple("abcde"), **given)


PIXELS = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(1))
IDS = torch.arange(15).view(5, 3)
WORDS = {"ids": IDS, "ids_mask": IDS > -1}


@pytest.mark.parametrize("given", [{}, {"hidden": 8}, {"hidden": 8, "dropout": 0.5, "noise": 0.5}])
@torch.no_grad()
def test_features_have_unit_length_in_any_mode(given: dict) -> None:
    model = built(**given)
    for training in (False, True):
        features = model.train(training)(batch_of(pixels=PIXELS, **WORDS))
        for side in features:
            assert side.shape == (5, 6)
            torch.testing.assert_close(side.norm(dim=1), torch.ones(5))


@torch.no_grad()
def test_cached_tokens_are_as_good_as_pixels_and_ids() -> None:
    model = built(hidden=8)
    plain = model(batch_of(pixels=PIXELS, **WORDS))
    cached = model(batch_of(image=model.image_tower(PIXELS), text=model.text_tower(IDS)))
    mixed = model(batch_of(image=model.image_tower(PIXELS), **WORDS))
    for other in (cached, mixed):
        assert torch.equal(plain.image_BD, other.image_BD)
        assert torch.equal(plain.text_BD, other.text_BD)
    assert torch.equal(model.encode_image(PIXELS), plain.image_BD)
    assert torch.equal(model.encode_text((IDS, IDS > -1)), plain.text_BD)


@torch.no_grad()
def test_rows_do_not_see_each_other() -> None:
    model, order = built(hidden=8), torch.tensor([3, 1, 4, 0, 2])
    whole = model(batch_of(pixels=PIXELS, **WORDS))
    turned = model(batch_of(pixels=PIXELS[order], ids=IDS[order], ids_mask=IDS > -1))
    torch.testing.assert_close(turned.image_BD, whole.image_BD[order])
    torch.testing.assert_close(turned.text_BD, whole.text_BD[order])


def test_an_absent_side_is_named() -> None:
    model = built()
    with pytest.raises(ValueError, match="this batch has no image"):
        model(batch_of(**WORDS))
    with pytest.raises(ValueError, match="this batch has no text"):
        model(batch_of(pixels=PIXELS))


@pytest.mark.parametrize("root", [False, True])
@torch.no_grad()
def test_fit_inputs_standardises(root: bool) -> None:
    rows = torch.randn(400, 10) * torch.arange(1, 11) + 100
    rows[:, 3] = 5.0  # constant: no division by zero
    head = ProjectionHead(10, 6, root=root).eval()
    before = head(rows[:3])
    head.fit_inputs(rows)
    seen = head.inputs(rows)
    torch.testing.assert_close(seen.mean(dim=0), torch.zeros(10), rtol=0, atol=1e-2)
    expected = torch.ones(10)
    expected[3] = 0.0
    torch.testing.assert_close(seen.std(dim=0), expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(head(rows[:3]), nn.functional.normalize(head.layers(seen[:3]), dim=-1))
    assert head(rows).isfinite().all()
    assert not torch.allclose(head(rows[:3]), before)


def test_the_root_keeps_the_sign() -> None:
    x = torch.tensor([[-9.0, 0.0, 4.0]])
    assert Standardise(3, root=True)(x).tolist() == [[-3.0, 0.0, 2.0]]
    assert Standardise(3)(x).tolist() == x.tolist()


def test_what_was_fitted_is_kept_with_the_weights() -> None:
    head = ProjectionHead(10, 6)
    head.fit_inputs(torch.randn(50, 10) * 3 + 1)
    other = ProjectionHead(10, 6)
    other.load_state_dict(head.state_dict())
    x = torch.randn(4, 10)
    assert torch.equal(head.eval()(x), other.eval()(x))


def test_noise_and_dropout_only_in_training() -> None:
    x = torch.randn(4, 10)
    for given in ({"noise": 0.5}, {"dropout": 0.5}):
        head = ProjectionHead(10, 6, **given)  # pyright: ignore[reportArgumentType]
        assert not torch.equal(head(x), head(x))
        assert torch.equal(head.eval()(x), head(x))


def test_without_a_hidden_layer_it_is_one_linear_map_without_bias() -> None:
    head = ProjectionHead(10, 6)
    assert [tuple(p.shape) for p in head.parameters()] == [(6, 10)]
    x = torch.randn(4, 10)
    torch.testing.assert_close(head(7 * x), head(x))
