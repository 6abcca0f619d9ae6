"""Generators named by what they are for: the same stream anywhere, another stream for another name."""

import subprocess
import sys

import pytest
import torch

from amodal.core.seeds import generator_for


def drawn(*names: int | str) -> list[int]:
    return torch.randint(1 << 40, (4,), generator=generator_for(*(7, *names))).tolist()


def test_same_stream_in_another_process() -> None:
    code = (
        "import torch; from amodal.core.seeds import generator_for; torch.manual_seed(99); torch.rand(3)\n"
        "print(torch.randint(1 << 40, (4,), generator=generator_for(7, 'order', 3, 11)).tolist())"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.strip() == str(drawn("order", 3, 11))


def test_same_stream_in_any_order_of_calls() -> None:
    first = drawn("order", 1)
    drawn("augment", 1)
    torch.rand(5)
    assert drawn("order", 1) == first


@pytest.mark.parametrize(
    "names", [("order", 2), ("augment", 1), ("order",), ("order", 1, 0), ("order", "1"), (1, "order")]
)
def test_other_names_give_other_streams(names: tuple[int | str, ...]) -> None:
    assert drawn(*names) != drawn("order", 1)


def test_other_seeds_give_other_streams() -> None:
    streams = [torch.rand(4, generator=generator_for(seed, "order")).tolist() for seed in range(200)]
    assert len({tuple(stream) for stream in streams}) == 200


def test_global_state_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    torch.rand(9, generator=generator_for(0))
    assert torch.equal(torch.rand(3), expected)
