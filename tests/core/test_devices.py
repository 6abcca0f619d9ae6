"""Devices by name; what is not there is refused with what is."""

import threading
import time

import pytest
import torch

from amodal.core.devices import on_every_core, pick_device
from amodal.core.errors import UsageError


def there(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "kind"),
    [(False, False, "cpu"), (False, True, "mps"), (True, False, "cuda"), (True, True, "cuda")],
)
def test_auto_takes_the_fastest(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, kind: str) -> None:
    there(monkeypatch, cuda=cuda, mps=mps)
    assert pick_device().type == kind


def test_named_device(monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, cuda=True, mps=False)
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "tpu", ""])
def test_absent_device_is_refused_with_what_is_there(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    there(monkeypatch, cuda=False, mps=False)
    with pytest.raises(UsageError, match=r"this machine has: cpu$"):
        pick_device(name)


def test_parts_on_every_core_come_in_order_each_on_one_thread_and_errors_are_raised() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        taken: list[int] = []

        def parts():
            for number in range(8):
                taken.append(number)
                yield number

        def work(number: int) -> tuple[int, int, str]:
            time.sleep(0.02 * (number % 2 == 0))
            return number, torch.get_num_threads(), threading.current_thread().name

        done = list(on_every_core(work, parts(), torch.device("cpu")))
        assert [number for number, _, _ in done] == list(range(8))
        assert {threads for _, threads, _ in done} == {1}
        assert len({name for _, _, name in done}) > 1
        assert torch.get_num_threads() == 3
        taken.clear()
        with pytest.raises(ZeroDivisionError):
            list(on_every_core(lambda number: 1 // (2 - number), parts(), torch.device("cpu")))
        assert max(taken) < 7
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
