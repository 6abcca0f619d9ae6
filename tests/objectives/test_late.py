"""Late interaction: what it is made of, and that words find their places by it without being shown one."""

import math

import torch
import torch.nn.functional as F

from amodal.objectives import LateInteraction, late_loss, late_scores
from amodal.objectives.late import SHARPNESS


def test_scores_are_weighted_means_of_smooth_maxima() -> None:
    torch.manual_seed(0)
    query, key = F.normalize(torch.randn(3, 4, 5), dim=-1), F.normalize(torch.randn(2, 6, 5), dim=-1)
    weight = torch.rand(3, 4)
    weight[0, 2:] = 0
    score = late_scores(query, weight, key)
    for text in range(3):
        for picture in range(2):
            like = query[text] @ key[picture].T
            highest = (SHARPNESS * like).exp().mean(dim=1).log() / SHARPNESS
            expected = (weight[text] * highest).sum() / weight[text].sum()
            torch.testing.assert_close(score[text, picture], expected)
    assert late_scores(query, torch.zeros(3, 4), key).isfinite().all()


def test_the_loss_of_scores_that_say_nothing_is_that_of_chance() -> None:
    assert math.isclose(late_loss(torch.zeros(7, 7), torch.tensor(1.0)).item(), math.log(7), rel_tol=1e-6)


def test_words_find_their_places_by_whole_pictures_alone() -> None:
    """Pictures show two of eight things on six places, texts name both: no one says which word is where."""
    torch.manual_seed(0)
    objective, key, query = LateInteraction(), torch.nn.Linear(8, 16), torch.nn.Linear(8, 16)
    modules = torch.nn.ModuleList([objective, key, query])
    optimizer = torch.optim.AdamW(modules.parameters(), lr=1e-2)

    def drawn(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        things = torch.stack([torch.randperm(8)[:2] for _ in range(count)])
        places = torch.stack([torch.randperm(6)[:2] for _ in range(count)])
        pictures = 0.1 * torch.randn(count, 6, 8)
        pictures[torch.arange(count)[:, None], places] += F.one_hot(things, 8)
        return pictures, F.one_hot(things, 8).float(), places

    for _ in range(150):
        pictures, texts, _ = drawn(16)
        loss = objective(F.normalize(query(texts), dim=-1), torch.ones(16, 2), F.normalize(key(pictures), dim=-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.clamp()
    pictures, texts, places = drawn(200)
    like = F.normalize(query(texts), dim=-1) @ F.normalize(key(pictures), dim=-1).transpose(1, 2)
    assert (like.argmax(dim=2) == places).float().mean() > 0.9
