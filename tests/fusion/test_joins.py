"""The four joins by their formulas."""

import pytest
import torch

from amodal.fusion import JOINS, Concatenation, GatedSum, LowRankBilinear, Product

WIDTH = 5
torch.manual_seed(0)
IMAGE, TEXT = torch.randn(2, 3, WIDTH).double()


def test_there_are_four() -> None:
    assert set(JOINS.values()) == {Concatenation, Product, GatedSum, LowRankBilinear}


def test_concatenation_is_one_matrix_on_both() -> None:
    join = Concatenation(WIDTH).double()
    weight, bias = join.out.weight, join.out.bias
    torch.testing.assert_close(join(IMAGE, TEXT), IMAGE @ weight[:, :WIDTH].T + TEXT @ weight[:, WIDTH:].T + bias)


def test_product_is_linear_in_each() -> None:
    join = Product(WIDTH).double()
    torch.nn.init.zeros_(join.image.bias)
    torch.testing.assert_close(join(3 * IMAGE, TEXT), 3 * join(IMAGE, TEXT))
    torch.testing.assert_close(join(IMAGE, TEXT), (IMAGE @ join.image.weight.T) * join.text(TEXT))


@pytest.mark.parametrize(("bias", "chosen"), [(50.0, 0), (-50.0, 1)])
def test_an_open_gate_takes_the_picture_and_a_closed_one_the_words(bias: float, chosen: int) -> None:
    join = GatedSum(WIDTH).double()
    torch.nn.init.constant_(join.gate.bias, bias)
    expected = (join.image(IMAGE), join.text(TEXT))[chosen].tanh()
    torch.testing.assert_close(join(IMAGE, TEXT), expected)


def test_low_rank_bilinear_is_a_bilinear_form_of_that_rank() -> None:
    join = LowRankBilinear(WIDTH, rank=3).double()
    left, right = join.image(IMAGE).tanh(), join.text(TEXT).tanh()
    full = torch.einsum("or,br,br->bo", join.out.weight, left, right) + join.out.bias
    torch.testing.assert_close(join(IMAGE, TEXT), full)
    assert join.out.in_features == 3
    assert LowRankBilinear(WIDTH).out.in_features == 2 * WIDTH
