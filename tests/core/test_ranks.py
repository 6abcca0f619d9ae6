"""One process alone is all ranks at once; what several do is tested in tests/objectives and tests/end_to_end."""

import pytest
import torch

from amodal.core.ranks import ALONE, joined, lost_a_rank


def test_alone_everything_asked_of_all_is_asked_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    x = torch.tensor([1.0, 2.0])
    assert ALONE.gather(x) is ALONE.add(x) is ALONE.largest(x) is x
    with joined(torch.device("cpu")) as (ranks, device), ranks.first_goes_first():
        assert ranks is ALONE
        assert device.type == "cpu"


def test_an_error_of_a_lost_rank_is_told_from_others() -> None:
    assert lost_a_rank(RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1"))
    assert not lost_a_rank(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
