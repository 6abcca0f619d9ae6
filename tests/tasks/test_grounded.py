"""Matching and answering: their losses are what the objectives say, and grounding is added where it is known."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from amodal.core.batch import Batch, Tokens
from amodal.models import FusedFeatures, ReadFeatures
from amodal.objectives import finding_losses, info_nce, late_loss, late_scores, match_loss
from amodal.tasks import Aligning, Answering, Levels, Matching

ROWS, WORDS, PLACES = 4, 3, 5


def given(grounded: bool = True) -> tuple[ReadFeatures, Batch]:
    torch.manual_seed(0)
    shapes = [(ROWS, 8), (ROWS,), (ROWS, 6), *[(ROWS, WORDS, PLACES)] * 3, (ROWS, WORDS)]
    unit = [(ROWS, PLACES, 8), (ROWS, WORDS, 8), (ROWS, 8), (ROWS, 8)]
    features = ReadFeatures(
        *(torch.randn(shape, requires_grad=True) for shape in shapes),
        *(F.normalize(torch.randn(shape, requires_grad=True), dim=-1) for shape in unit),
    )
    mask = torch.arange(WORDS) < torch.tensor([[3], [2], [3], [1]])
    where = {"covers": torch.rand(ROWS, WORDS, PLACES), "centres": torch.rand(ROWS, WORDS, PLACES), "linked": mask}
    truth = {"fits": torch.tensor([True, False, True, False]), "answer": torch.tensor([0, 5, 2, 2])}
    batch = Batch(
        pair_id=torch.tensor([0, 0, 1, 1]),
        key=("a", "b", "c", "d"),
        text=Tokens(torch.zeros(ROWS, WORDS, 2), mask, torch.zeros(ROWS, 2)),
        picture=torch.tensor([0, 0, 1, 1]),
        truth=truth | where if grounded else truth,
    )
    return features, batch


def own(task: Any, features: ReadFeatures, batch: Batch) -> torch.Tensor:
    if isinstance(task, Matching):
        return match_loss(features.fit_B, batch.truth["fits"], batch.pair_id)
    return F.cross_entropy(features.answer_BA, batch.truth["answer"])


@pytest.mark.parametrize("kind", [Matching, Answering])
def test_grounding_is_added_by_its_weight(kind: type) -> None:
    features, batch = given()
    assert batch.text is not None
    truth = {f"{name}_{axes}": batch.truth[name] for name, axes in (("covers", "BLP"), ("centres", "BLP"))}
    where = sum(finding_losses(*features[3:7], **truth, linked_BL=batch.truth["linked"], mask_BL=batch.text.mask))
    for weight in (0.0, 0.5, 1.0):
        result = kind(Levels(pixel=weight)).score(features, batch)
        torch.testing.assert_close(result.loss, own(kind(), features, batch) + weight * where)
        assert ("look" in result.terms) == (weight > 0)
        assert result.count == ROWS


def test_the_other_levels_are_learnt_from_true_texts_and_their_pictures() -> None:
    features, batch = given()
    true = [0, 2]
    task = Aligning(Levels(whole=2.0, region=3.0, pixel=0.0))
    assert task.whole is not None
    assert task.region is not None
    scale = task.whole.logit_scale
    whole = info_nce(features.image_BD[true], features.text_BD[true], scale, torch.tensor([0, 1]))
    weight = features.means_BL[true].sigmoid()  # both have three words
    region = late_loss(late_scores(features.query_BLD[true], weight, features.key_BPD[true]), scale)
    result = task.score(features, batch)
    torch.testing.assert_close(result.loss, 2 * whole + 3 * region)
    assert result.terms.keys() == {"loss", "whole", "region"}


@pytest.mark.parametrize("kind", [Matching, Answering])
def test_without_truth_or_without_a_reader_there_is_the_job_alone(kind: type) -> None:
    features, batch = given(grounded=False)
    torch.testing.assert_close(kind().score(features, batch).loss, own(kind(), features, batch))
    features, batch = given()
    plain = FusedFeatures(*features[:3])
    torch.testing.assert_close(kind().score(plain, batch).loss, own(kind(), features, batch))


def test_what_is_judged_right() -> None:
    features, batch = given()
    right = ((features.fit_B > 0) == batch.truth["fits"]).float().mean().item()
    assert Matching().score(features, batch).terms["right"] == pytest.approx(right)


def test_a_batch_in_parts_keeps_its_truth() -> None:
    _, batch = given()
    first, second = batch.parts(2)
    assert torch.equal(torch.cat([first.truth["answer"], second.truth["answer"]]), batch.truth["answer"])
    assert second.to(torch.device("cpu")).truth["linked"].shape == (2, WORDS)
