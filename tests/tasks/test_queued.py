"""The momentum encoder and its queue: against a plain version, by what stays in it, and by what it adds."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Batch, Tokens
from amodal.models import DualEncoder, ProjectionHead
from amodal.objectives import InfoNCE
from amodal.objectives.queue import key_info_nce
from amodal.tasks import Queued


class Normed(nn.Module):
    """A trained tower with running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))

    def forward(self, pixels: Tensor) -> Tokens:
        pooled = self.layers(pixels)
        return Tokens(pooled[:, None], torch.ones(len(pooled), 1, dtype=torch.bool), pooled)


def model_of() -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(Normed(), nn.Identity(), ProjectionHead(5, 4), ProjectionHead(5, 4)).train()


def batch_of(seed: int, first: int, count: int = 6) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    said = torch.randn(count, 5, generator=draw)
    text = Tokens(said[:, None], torch.ones(count, 1, dtype=torch.bool), said)
    pixels = torch.randn(count, 6, generator=draw)
    return Batch(pair_id=torch.arange(first, first + count), key=tuple("x" * count), pixels=pixels, text=text)


def whole(query: Tensor, key: Tensor, scale: Tensor, query_id: Tensor, key_id: Tensor) -> Tensor:
    same = (query_id[:, None] == key_id).to(query.dtype)
    return F.cross_entropy(scale.exp() * query @ key.T, same / same.sum(1, keepdim=True))


@pytest.mark.parametrize("scale", [0.0, math.log(100)])
def test_queries_name_their_keys_as_cross_entropy_says(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amodal.objectives.tiles.TILE", 4)
    draw = torch.Generator().manual_seed(0)
    query, key = (F.normalize(torch.randn(n, 5, generator=draw, dtype=torch.float64), dim=1) for n in (6, 15))
    query.requires_grad_()
    logit_scale = torch.tensor(scale, dtype=torch.float64, requires_grad=True)
    query_id, key_id = torch.tensor([4, 1, 1, 9, 0, 7]), torch.tensor([9, 1, 0, 7, 4, 2, 2, 4, 1, 8, 3, 9, 9, 5, 6])
    ours, expected = (f(query, key, logit_scale, query_id, key_id) for f in (key_info_nce, whole))
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    both = [torch.autograd.grad(loss, (query, logit_scale)) for loss in (ours, expected)]
    torch.testing.assert_close(both[0], both[1], rtol=1e-11, atol=1e-13)
    with pytest.raises(ValueError, match="no key of its own id"):
        key_info_nce(query, key, logit_scale, query_id + 100, key_id)


def test_the_first_step_is_info_nce_towards_equal_keys() -> None:
    """While the copy is still the model itself and the queue empty."""
    model, batch = model_of(), batch_of(1, 0)
    task = Queued(model, InfoNCE(), queue=10, width=4, momentum=0.9)
    result = task.step(model, batch)
    image, text = (result.features[name] for name in ("image", "text"))
    scale = task.objective.logit_scale.detach()
    expected = sum(whole(a, b, scale, batch.pair_id, batch.pair_id) for a, b in ((image, text), (text, image))) / 2
    assert result.terms["loss"] == pytest.approx(float(expected), rel=1e-5)
    assert result.terms["chance"] == pytest.approx(math.log(6))


def test_the_queue_holds_the_newest_keys_and_the_copy_follows() -> None:
    model = model_of()
    task = Queued(model, InfoNCE(), queue=10, width=4, momentum=0.75)
    keys = []
    for step in range(3):
        batch = batch_of(step, 6 * step)
        keys.append(task.encode(model, batch).text_key_BD)
        task.step(model, batch).loss.backward()
        with torch.no_grad():
            model.image_head.layers[1].weight += 1.0
        task.after_step(model)
    assert task.id_Q.sort().values.tolist() == list(range(8, 18))
    assert task.step(model, batch_of(9, 90)).terms["chance"] == pytest.approx(math.log(6 + 10))
    for number in range(10):
        step, row = divmod(int(task.id_Q[number]), 6)
        torch.testing.assert_close(task.text_QD[number], keys[step][row])
    copy = getattr(task, "copy/image_head/layers/1/weight")
    expected = 0.25 * 3 + 0.75 * (0.25 * 2 + 0.75 * 0.25 * 1)
    torch.testing.assert_close(copy, model.image_head.layers[1].weight.detach() - 3 + expected)


def test_running_statistics_of_copy_and_model_are_their_own() -> None:
    model, batch = model_of(), batch_of(1, 0)
    task = Queued(model, InfoNCE(), queue=4, width=4, momentum=0.9)
    alone = model_of()
    task.step(model, batch)
    alone(batch)
    for (name, one), (_, other) in zip(model.named_buffers(), alone.named_buffers(), strict=True):
        torch.testing.assert_close(one, other, msg=name)  # the copy's pass left no trace in the model
    assert getattr(task, "copy/image_tower/layers/1/num_batches_tracked") == 1


def test_the_state_comes_back_with_the_modules_state() -> None:
    model = model_of()
    task = Queued(model, InfoNCE(), queue=10, width=4, momentum=0.5)
    for step in range(2):
        task.step(model, batch_of(step, 6 * step)).loss.backward()
        task.after_step(model)
    again = Queued(model, InfoNCE(), queue=10, width=4, momentum=0.5)
    again.load_state_dict(task.state_dict())
    batch = batch_of(7, 70)
    assert again.step(model, batch).terms["loss"] == pytest.approx(task.step(model, batch).terms["loss"])
