"""The memory that is counted is what autograd holds; ways that need less are counted less; the claim's three checks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from amodal.core.batch import Batch
from amodal.features import FeatureCache, pooled_tokens
from amodal.models import DualEncoder, ProjectionHead
from amodal.studies.batch_size import (
    ACTIVATIONS,
    COPY,
    QUEUE,
    BatchSize,
    BatchSizeConfig,
    Held,
    batch_name,
    parts_name,
    queue_name,
)
from amodal.studies.study import Place
from amodal.tasks import Contrastive
from amodal.training import Accumulated, Cached, plain

WIDTH, OUT = 40, 16


def pairs(count: int) -> tuple[DualEncoder, Batch]:
    torch.manual_seed(0)
    model = DualEncoder(nn.Identity(), nn.Identity(), ProjectionHead(WIDTH, OUT), ProjectionHead(WIDTH, OUT))
    image, text = torch.randn(2, count, WIDTH)
    key = tuple(map(str, range(count)))
    return model, Batch(pair_id=torch.arange(count), key=key, image=pooled_tokens(image), text=pooled_tokens(text))


def test_each_storage_counts_once_and_is_let_go() -> None:
    """tanh keeps its output, a product both factors; the view shares its storage, the weight is left out."""
    weight = nn.Linear(4, 4, bias=False)
    x = torch.randn(10, 4)
    with Held(weight) as held:
        y = weight(x)  # keeps x
        z = torch.tanh(y)  # keeps z
        loss = (z[:5] * z[5:]).sum()  # keeps two views of z
        assert held.most == (40 + 40) * 4
        loss.backward()
        again = torch.tanh(weight(x)).sum()
        assert held.most == (40 + 40) * 4  # the first ones are gone
        del again


def test_parts_hold_less_than_the_whole() -> None:
    most = {}
    for name, way in (("plain", plain), ("accumulated", Accumulated(8)), ("cached", Cached(8))):
        model, batch = pairs(64)
        with Held(model) as held:
            way(Contrastive(), model, batch)
        most[name] = held.most
    model, batch = pairs(8)
    with Held(model) as held:
        plain(Contrastive(), model, batch)
    assert most["accumulated"] == pytest.approx(held.most, rel=0.05)  # 8 rows at a time
    assert most["plain"] > 6 * held.most
    assert held.most < most["cached"] < most["plain"] / 2  # and the features of all 64


def study(tmp_path: Path) -> BatchSize:
    return BatchSize(BatchSizeConfig(), Place(FeatureCache(tmp_path / "cache.sqlite"), tmp_path))


@pytest.mark.parametrize(
    ("recalls", "added", "verdicts"),
    [
        ((0.40, 0.45, 0.40, 0.44), 3e6, ["holds", "holds", "holds"]),
        ((0.45, 0.40, 0.40, 0.44), 3e6, ["does not hold", "holds", "holds"]),
        ((0.40, 0.45, 0.44, 0.40), 3e6, ["holds", "does not hold", "holds"]),
        ((0.40, 0.45, 0.40, 0.44), 8e6, ["holds", "holds", "does not hold"]),
        ((0.40, 0.40, 0.40, 0.44), 3e6, ["undecided", "holds", "holds"]),
    ],
)
def test_conclusion(tmp_path: Path, recalls: tuple[float, ...], added: float, verdicts: list[str]) -> None:
    tried, random = study(tmp_path), np.random.default_rng(0)
    names = (parts_name(1024, 32), batch_name(1024), batch_name(32), queue_name(32, 1024))
    means = dict(zip(names, recalls, strict=True))
    memory = {batch_name(1024): 1e7, queue_name(32, 1024): 1e6 + added}
    measured = {
        setting: {
            **{
                figure: means.get(setting, 0.4) + random.normal(scale=0.1, size=(5, 366))
                for figure in ("recall", "R@1", "R@5")
            },
            ACTIVATIONS: np.full((5, 1), memory.get(setting, 1e6)),
            QUEUE: np.full((5, 1), 1e6 if "queue" in setting else 0.0),
            COPY: np.zeros((5, 1)),
        }
        for setting in tried.settings()
    }
    assert [check.verdict for check in tried.conclude(measured).checks] == verdicts


def test_settings_differ_in_what_they_say(tmp_path: Path) -> None:
    cases = study(tmp_path).cases()
    assert {case.batch for name, case in cases.items() if name.startswith("1,024 ")} == {1024}
    assert [cases[parts_name(1024, each)].negatives for each in (8, 32, 128, 512)] == [7, 31, 127, 511]
    assert cases[queue_name(32, 1024)].negatives == 1024 + 31
    assert cases["1,024 cached in parts of 32"].negatives == cases[batch_name(1024)].negatives == 1023
