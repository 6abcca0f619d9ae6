"""Devices by name; what is not there is refused with what is."""

import pytest
import torch

from amodal.core.devices import pick_device
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
