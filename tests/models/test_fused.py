"""Models that fuse: rows that lack a modality, padding, places, and a reader that learns relations once it is shown
where words are."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from amodal.core.batch import Batch, Tokens
from amodal.fusion import FUSIONS, FusionSize
from amodal.models import Fused, Heads, Reader, ReadFeatures
from amodal.models.reader import Comparing, Facts, FinePlaces
from amodal.tasks import Levels, Matching
from amodal.training import Cached, plain

IMAGE_WIDTH, TEXT_WIDTH = 9, 6
MODELS = ["reader", "co-attention", "queries"]


def built(name: str, answers: int = 3) -> Fused | Reader:
    torch.manual_seed(0)
    towers, grid = (nn.Identity(), nn.Identity()), (2, 3)
    if name == "reader":
        return Reader(
            *towers, folds=[(IMAGE_WIDTH, 1)], text_width=TEXT_WIDTH, width=16, heads=4, depth=2, grid=grid,
            answers=answers,
        ).eval()  # fmt: skip
    size = FusionSize(image_width=IMAGE_WIDTH, text_width=TEXT_WIDTH, width=16, heads=4, depth=2, grid=grid)
    return Fused(*towers, FUSIONS[name](size), Heads(16, answers)).eval()


def batch(rows: int = 4) -> Batch:
    torch.manual_seed(1)
    image = Tokens(torch.randn(rows, 6, IMAGE_WIDTH), torch.ones(rows, 6, dtype=torch.bool), torch.zeros(rows, 1))
    mask = torch.arange(5) < torch.arange(2, 2 + rows)[:, None].clamp(max=5)
    text = Tokens(torch.randn(rows, 5, TEXT_WIDTH), mask, torch.zeros(rows, 1))
    return Batch(pair_id=torch.arange(rows), key=tuple("abcdefgh"[:rows]), image=image, text=text)


def twice(tokens: Tokens) -> Tokens:
    mask = torch.cat([tokens.mask, torch.zeros_like(tokens.mask)], 1)
    return Tokens(torch.cat([tokens.sequence, 30 * torch.randn_like(tokens.sequence)], 1), mask, tokens.pooled)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_padding_to_twice_the_length_changes_nothing(name: str) -> None:
    model, plain = built(name), batch()
    assert plain.image is not None
    assert plain.text is not None
    padded = Batch(pair_id=plain.pair_id, key=plain.key, image=twice(plain.image), text=twice(plain.text))
    for one, other in zip(model(plain)[:3], model(padded)[:3], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_rows_that_lack_a_modality_are_finite_and_do_not_depend_on_it(name: str) -> None:
    model, given = built(name), batch()
    present = {"image": torch.tensor([False, True, False, True]), "text": torch.tensor([True, False, False, True])}
    assert given.image is not None
    assert given.text is not None
    changed = given.image._replace(sequence=given.image.sequence.flip(2))
    one, other = (
        model(Batch(pair_id=given.pair_id, key=given.key, image=image, text=given.text, present=present))
        for image in (given.image, changed)
    )
    assert one.fit_B.isfinite().all()
    torch.testing.assert_close(one.fit_B[[0, 2]], other.fit_B[[0, 2]], rtol=0, atol=0)
    assert (one.fit_B[3] - other.fit_B[3]).abs() > 1e-4
    one.fit_B.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_shapes_and_no_answers() -> None:
    features = built("reader")(batch())
    assert features.answer_BA.shape == (4, 3)
    assert features.look_BLP.shape == features.there_BLP.shape == features.amount_BLP.shape == (4, 5, 6)
    assert features.means_BL.shape == (4, 5)
    assert built("queries", answers=0)(batch()).answer_BA.shape == (4, 0)


def test_a_phrase_is_where_its_words_are_each_as_far_as_it_means_things() -> None:
    there = torch.tensor([[8.0, 0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0], [7.0, 7.0, 7.0, 7.0]])[None]
    means = torch.tensor([[0.75, 0.25, 0.5]]).logit()
    features = ReadFeatures(*[torch.zeros(1, 1)] * 11)._replace(there_BLP=there, means_BL=means)
    torch.testing.assert_close(features.phrase(0, (0, 1), (2, 2)), torch.tensor([[6.0, 1.0], [0.0, 0.0]]))


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_many_texts_about_few_pictures_are_judged_as_if_each_had_its_own(name: str) -> None:
    model, given, picture = built(name), batch(), torch.tensor([1, 0, 1, 1])
    assert given.image is not None
    few, own = Tokens(*(x[:2] for x in given.image)), Tokens(*(x[picture] for x in given.image))
    one, other = replace(given, image=few, picture=picture), replace(given, image=own)
    torch.testing.assert_close(model(one)[:3], model(other)[:3])
    (_, last) = one.parts(2)
    assert last.image is not None
    assert len(last.image.sequence) == 1
    torch.testing.assert_close(model(last).fit_B, model(other).fit_B[2:])


def test_a_reader_learns_the_same_from_a_batch_in_parts() -> None:
    """Two texts about each picture, all levels; gradient caching and one pass."""
    model, task = built("reader", answers=0).train(), Matching(Levels(whole=1.0, region=1.0))
    assert task.whole is not None
    given = ordered(4, torch.Generator().manual_seed(0))
    assert given.image is not None
    few = Tokens(*(x[::2] for x in given.image))
    given = replace(given, image=few, picture=torch.arange(4).repeat_interleave(2), truth=given.truth)
    gradients = []
    for way in (plain, Cached(3), Cached(8)):
        model.zero_grad()
        way(task, model, given)
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_fine_places_stand_where_they_belong() -> None:
    """Maps of two stages through `StageTower`'s folding and back: each place is made of what the maps hold there."""
    torch.manual_seed(0)
    fine, coarse = torch.randn(2, 3, 4, 6), torch.randn(2, 5, 2, 3)
    folded = torch.cat([F.pixel_unshuffle(fine, 2), coarse], dim=1).flatten(2).transpose(1, 2)
    places = FinePlaces([(3, 2), (5, 1)], 16, (2, 3))
    assert places.grid == (4, 6)
    nn.init.zeros_(places.around.weight)
    places.around.bias = nn.Parameter(torch.full((16,), -1e4))  # gelu of it is 0
    found = places(folded).unflatten(1, (4, 6))
    for row, column in ((0, 0), (3, 4), (1, 5)):
        said = places.stages[0](fine[:, :, row, column]) + places.stages[1](coarse[:, :, row // 2, column // 2])
        torch.testing.assert_close(found[:, row, column], F.gelu(said))


@torch.no_grad()
def test_words_are_compared_by_how_far_apart_they_are_and_not_by_where() -> None:
    torch.manual_seed(0)
    comparing, x, mask = Comparing(16), torch.randn(2, 4, 16), torch.ones(2, 4, dtype=torch.bool)
    facts, means = Facts(*(torch.randn(2, 4, size) for size in (2, 2, 1, 1))), torch.zeros(2, 4)
    told = comparing(x, facts, means, mask)
    torch.testing.assert_close(comparing(x, facts._replace(where=facts.where + 0.3), means, mask), told)
    nearer = facts._replace(where=0.5 * facts.where)
    assert (comparing(x, nearer, means, mask) - told).abs().max() > 1e-3
    none = comparing(x, facts, torch.full((2, 4), -1e4), mask)
    torch.testing.assert_close(none, torch.zeros_like(none))


def test_a_modality_that_is_absent_from_the_batch_is_told() -> None:
    given = batch()
    with pytest.raises(ValueError, match="has no image"):
        built("reader")(Batch(pair_id=given.pair_id, key=given.key, text=given.text))
    model = Reader(
        nn.Identity(), nn.Identity(), folds=[(IMAGE_WIDTH, 1)], text_width=TEXT_WIDTH, width=16, heads=4, depth=1,
        grid=(3, 3),
    )  # fmt: skip
    with pytest.raises(ValueError, match="6 places do not fill a grid of 3 x 3"):
        model(given)


def ordered(rows: int, draw: torch.Generator) -> Batch:
    """Two of four things stand on six places; the words name them, the one further left first, or falsely last.

    Things and their words are one-hot; word 1 of three means nothing.
    """
    things = torch.stack([torch.randperm(4, generator=draw)[:2] for _ in range(rows)])
    columns = torch.stack([torch.randperm(3, generator=draw)[:2].sort().values for _ in range(rows)])
    line = torch.randint(2, (rows, 2), generator=draw)
    place = 3 * line + columns
    image = torch.zeros(2 * rows, 6, IMAGE_WIDTH)
    text, covers = torch.zeros(2 * rows, 3, TEXT_WIDTH), torch.zeros(2 * rows, 3, 6)
    for row in range(rows):
        for said in (0, 1):
            for order, thing in enumerate(things[row].tolist()):
                word = 2 * (order if said == 0 else 1 - order)
                image[2 * row + said, place[row, order], thing] = 3.0
                text[2 * row + said, word, thing] = 3.0
                covers[2 * row + said, word, place[row, order]] = 1.0
    text[:, 1, 5] = 3.0
    real = torch.ones(2 * rows, 6, dtype=torch.bool)
    linked = torch.tensor([True, False, True]).expand(2 * rows, -1)
    return Batch(
        pair_id=torch.arange(rows).repeat_interleave(2),
        key=tuple(map(str, range(2 * rows))),
        image=Tokens(image, real, image.mean(1)),
        text=Tokens(text, real[:, :3], text.mean(1)),
        truth={"fits": torch.tensor([True, False]).repeat(rows), "covers": covers, "centres": covers, "linked": linked},
    )


def test_a_reader_learns_who_is_left_of_whom() -> None:
    """Chance is one half: the same things and words are told apart by where they are alone."""
    model, task = built("reader", answers=0).train(), Matching()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    draw = torch.Generator().manual_seed(0)
    for _ in range(150):
        optimizer.zero_grad()
        task.step(model, ordered(32, draw)).loss.backward()
        optimizer.step()
    with torch.no_grad():
        features = model.eval()(ordered(500, draw))
    assert (features.fit_B[::2] > features.fit_B[1::2]).float().mean() > 0.9
