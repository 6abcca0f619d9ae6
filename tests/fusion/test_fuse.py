"""Every fusion: padding changes nothing, absent modalities are finite and defined, places matter, and the two meet."""

from dataclasses import replace

import pytest
import torch

from amodal.core.batch import Tokens
from amodal.fusion import FUSIONS, FusionSize, attention_maps

SIZE = FusionSize(image_width=10, text_width=6, width=16, heads=4, depth=2, grid=(2, 3))
LENGTHS = (5, 3, 1, 4)
NAMES = list(FUSIONS)
MEET = [name for name in NAMES if "attention" in name or name in ("early", "queries")]


def built(name: str, size: FusionSize = SIZE):
    torch.manual_seed(0)
    fusion = FUSIONS[name](size).eval()
    with torch.no_grad():
        for p in fusion.parameters():  # far from zero, so that a leak would show
            p.add_(0.2 * torch.randn_like(p))
    return fusion


def inputs() -> tuple[Tokens, Tokens]:
    torch.manual_seed(1)
    image = Tokens(torch.randn(4, 6, 10), torch.ones(4, 6, dtype=torch.bool), torch.randn(4, 7))
    image.mask[3, 4:] = False  # a picture that fills its grid in part
    mask = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
    return image, Tokens(torch.randn(4, 5, 6), mask, torch.randn(4, 6))


def twice(tokens: Tokens) -> Tokens:
    """As many padded tokens behind, full of something."""
    junk = 30 * torch.randn_like(tokens.sequence)
    return Tokens(
        torch.cat([tokens.sequence, junk], 1), torch.cat([tokens.mask, tokens.mask & False], 1), tokens.pooled
    )


def test_all_are_here() -> None:
    assert NAMES == [
        "early", "late-concatenation", "late-product", "late-gated", "late-bilinear", "self-attention",
        "cross-attention", "co-attention", "deep-self-attention", "deep-cross-attention", "deep-co-attention",
        "queries",
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_padding_to_twice_the_length_changes_no_output(name: str) -> None:
    fusion = built(name)
    image, text = inputs()
    plain, padded = fusion(image, text), fusion(twice(image), twice(text))
    torch.testing.assert_close(padded.pooled, plain.pooled, rtol=0, atol=1e-5)
    torch.testing.assert_close(padded.sequence[padded.mask], plain.sequence[plain.mask], rtol=0, atol=1e-5)
    assert not padded.sequence[~padded.mask].any()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_what_is_under_the_mask_is_never_read(name: str) -> None:
    fusion = built(name)
    image, text = inputs()
    junk = [x._replace(sequence=torch.where(x.mask[..., None], x.sequence, 50.0)) for x in (image, text)]
    plain, changed = fusion(image, text), fusion(*junk)
    torch.testing.assert_close(changed.pooled, plain.pooled, rtol=0, atol=0)
    torch.testing.assert_close(changed.sequence, plain.sequence, rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_rows_without_a_modality_are_finite_and_depend_on_the_other_alone(name: str) -> None:
    fusion = built(name)
    image, text = inputs()
    image.mask[0], text.mask[1] = False, False
    image.mask[2], text.mask[2] = False, False
    image.sequence.requires_grad_()
    joint = fusion(image, text)
    assert joint.sequence.isfinite().all()
    assert joint.pooled.isfinite().all()
    other = fusion(image._replace(sequence=image.sequence.detach() + 1), text)
    torch.testing.assert_close(other.pooled[0], joint.pooled[0], rtol=0, atol=0)
    assert not torch.equal(other.pooled[3], joint.pooled[3])
    (joint.pooled.square().sum() + joint.sequence.square().sum()).backward()
    assert image.sequence.grad is not None
    assert image.sequence.grad.isfinite().all()
    assert not image.sequence.grad[[0, 2]].any()
    assert image.sequence.grad[3].any()
    assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_rows_of_a_batch_do_not_see_each_other(name: str) -> None:
    fusion = built(name).double()
    image, text = (Tokens(x.sequence.double(), x.mask, x.pooled) for x in inputs())
    together = fusion(image, text)
    order = torch.tensor([2, 0, 3, 1])
    shuffled = fusion(*(Tokens(*(part[order] for part in x)) for x in (image, text)))
    torch.testing.assert_close(shuffled.pooled, together.pooled[order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("places", ["sine", "learnt"])
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_where_a_place_is_matters(name: str, places) -> None:
    fusion = built(name, replace(SIZE, places=places))
    image, text = inputs()
    moved = image._replace(sequence=image.sequence.flip(1))
    row = 0  # all its places are real
    assert (fusion(moved, text).pooled[row] - fusion(image, text).pooled[row]).abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_words_learn_of_the_picture_wherever_the_two_meet(name: str) -> None:
    """In late fusion only the pooled vectors do."""
    fusion = built(name)
    image, text = inputs()
    other = image._replace(sequence=torch.randn_like(image.sequence))
    plain, changed = fusion(image, text), fusion(other, text)
    words = slice(None) if name == "queries" else slice(6, None)
    assert ((plain.sequence - changed.sequence)[:, words].abs().max() > 1e-3) == (name in MEET)
    assert (plain.pooled - changed.pooled).abs().max() > 1e-3


@pytest.mark.parametrize("name", [name for name in NAMES if "attention" in name or name == "queries"])
@torch.no_grad()
def test_attention_maps_of_a_whole_fusion(name: str) -> None:
    fusion = built(name)
    image, text = inputs()
    with attention_maps(fusion) as maps:
        fusion(image, text)
    assert len(maps) >= 2
    assert all(len(kept) == 1 for kept in maps.values())
    for (weights,) in maps.values():
        assert weights.shape[:2] == (4, 4)
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]))


def test_places_that_do_not_fill_the_grid_are_refused() -> None:
    image, text = inputs()
    for grid in ((3, 3), (2, 2)):
        with pytest.raises(ValueError, match="6 places do not fill"):
            FUSIONS["early"](replace(SIZE, grid=grid))(image, text)
