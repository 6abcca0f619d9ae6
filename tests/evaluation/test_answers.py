"""Answers by kind, and the guess from the question alone."""

import numpy as np
import torch

from amodal.evaluation import answers, question_only


def test_by_hand() -> None:
    found = answers(
        np.array([0, 1, 2, 3]), np.array([0, 1, 2, 2]), ["exists", "exists", "count", "count"], np.array([0, 0, 3, 3])
    )
    told = {name: (figure.value, figure.chance, figure.n) for name, figure in found.items()}
    assert told == {
        "answers/count": (0.5, 0.0, 2),
        "answers/exists": (1.0, 0.5, 2),
        "answers/all": (0.75, 0.25, 4),
        "answers/gain": (0.5, 0.0, 4),
    }


def test_the_guess_finds_what_questions_give_away_and_nothing_else() -> None:
    """Feature 0 tells the answer in nine of ten cases; of random answers it tells nothing: chance is one third."""
    torch.manual_seed(0)
    x, told = torch.randn(3000, 5), torch.randint(3, (3000,))
    x[:, 0] = torch.where(torch.rand(3000) < 0.9, told, torch.randint(3, (3000,))).float()
    x[:, 1] = (x[:, 0] == 1).float()  # so that a linear map can tell three values of one number
    known = (question_only(x[:2000], told[:2000], x[2000:], 3) == told[2000:].numpy()).mean()
    noise = torch.randint(3, (3000,))
    unknown = (question_only(x[:2000], noise[:2000], x[2000:], 3) == noise[2000:].numpy()).mean()
    assert known > 0.9
    assert 0.27 < unknown < 0.40
