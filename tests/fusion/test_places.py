"""Positions on a grid: distinct, in reading order, padding left alone."""

import pytest
import torch

from amodal.fusion import LearntPlaces, SinePlaces, centres

GRID = (3, 4)


def test_centres_run_row_by_row() -> None:
    expected = [[0.125, 1 / 6], [0.375, 1 / 6], [0.625, 1 / 6], [0.875, 1 / 6], [0.125, 0.5]]
    torch.testing.assert_close(centres(GRID)[:5], torch.tensor(expected))
    assert centres(GRID).shape == (12, 2)


@pytest.mark.parametrize("kind", [SinePlaces, LearntPlaces])
def test_every_place_gets_a_vector_of_its_own_that_says_row_and_column(kind: type) -> None:
    torch.manual_seed(0)
    table = kind(16, GRID)(torch.zeros(1, 12, 16), torch.ones(1, 12, dtype=torch.bool))[0]
    assert torch.cdist(table, table).fill_diagonal_(1).min() > 1e-3
    by_place = table.view(*GRID, 16)
    assert torch.equal(by_place[1, :, :8], by_place[1, :1, :8].expand(4, 8))  # one row: the same first half
    assert torch.equal(by_place[:, 2, 8:], by_place[:1, 2, 8:].expand(3, 8))


def test_near_places_are_alike() -> None:
    x = torch.zeros(1, 64, 32)
    table = SinePlaces(32, (8, 8))(x, torch.ones(1, 64, dtype=torch.bool))[0].view(8, 8, 32)
    apart = (table[3, :, 16:] - table[3, :1, 16:]).norm(dim=1)
    assert apart[1] < 0.7 * apart[2:].min()


@pytest.mark.parametrize("kind", [SinePlaces, LearntPlaces])
def test_padding_behind_the_grid_is_left_alone_and_real_places_there_are_refused(kind: type) -> None:
    places = kind(16, GRID)
    x, mask = torch.randn(2, 15, 16), torch.arange(15).expand(2, -1) < 12
    assert torch.equal(places(x, mask)[:, 12:], x[:, 12:])
    with pytest.raises(ValueError, match="15 places do not fill a grid of 3 x 4"):
        places(x, torch.ones_like(mask))


def test_widths_that_cannot_hold_two_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        SinePlaces(10, GRID)
    with pytest.raises(ValueError, match="even"):
        LearntPlaces(9, GRID)
