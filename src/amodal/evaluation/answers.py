"""Answers to questions, right or wrong, by kind of question, beside what the question alone gives away.

Q questions · T training questions · F features · A answers
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from amodal.metrics import Figure, bootstrap_mean

_DECAY, _STEPS = 1e-4, 200


def answers(answer_Q: np.ndarray, true_Q: np.ndarray, kind_Q: Sequence[str], guess_Q: np.ndarray) -> dict[str, Figure]:
    """`answers/KIND` for each kind of question and `answers/all`: the share answered right, whose chance is what the
    guess from the question alone gets right; and `answers/gain`, the difference of the two over all, in pairs.

    answer_Q, true_Q, guess_Q: places in one list of answers; see `question_only` for the guess.
    """
    right_Q, guessed_Q = answer_Q == true_Q, guess_Q == true_Q
    kinds = np.asarray(kind_Q)
    chosen = {kind: kinds == kind for kind in sorted(set(kind_Q))} | {"all": np.ones(len(kinds), bool)}
    figures = {}
    for kind, which in chosen.items():
        value, low, high = bootstrap_mean(right_Q[which])
        chance = float(guessed_Q[which].mean())
        figures[f"answers/{kind}"] = Figure(value=value, low=low, high=high, chance=chance, n=int(which.sum()))
    value, low, high = bootstrap_mean(right_Q.astype(float) - guessed_Q)
    figures["answers/gain"] = Figure(value=value, low=low, high=high, chance=0.0, n=len(kinds))
    return figures


def question_only(known_TF: Tensor, answer_T: Tensor, asked_QF: Tensor, num_answers: int) -> np.ndarray:
    """The guess of a linear classifier that reads questions and never sees a picture. -> (Q,) places in the list

    Multinomial logistic regression (L-BFGS, a little weight decay) of the answers of training questions on their
    features, standardised; applied to the questions asked.
    """
    mean, std = known_TF.mean(dim=0), known_TF.std(dim=0).clamp(min=1e-4)
    known, asked = (known_TF - mean) / std, (asked_QF - mean) / std
    weight = torch.zeros(num_answers, known.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(_linear(known, weight), answer_T) + _DECAY * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # pyright: ignore[reportArgumentType]  # torch's stubs want a float, its code a tensor
    return _linear(asked, weight).argmax(dim=1).numpy()


def _linear(x_QF: Tensor, weight: Tensor) -> Tensor:
    return F.linear(x_QF, weight[:, :-1], weight[:, -1])
