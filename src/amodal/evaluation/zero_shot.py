"""Classification by the names of the classes alone (Radford et al. 2021): the nearest class embedding wins.

N images · C classes · D width · T templates
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from amodal.core.errors import DataError, UsageError
from amodal.evaluation.templates import fill, templates_for
from amodal.metrics import Figure, best_matches, bootstrap_mean, first_match_ranks
from amodal.metrics.bootstrap import bootstrap

LARGEST_MATRIX = 200
MOST_CONFUSED = 50
_TEXTS_AT_ONCE = 4096


class Confusion(NamedTuple):
    """How many pictures of class `truth` were taken for class `predicted`."""

    truth: str
    predicted: str
    count: int


@dataclass(frozen=True, kw_only=True)
class ZeroShotResult:
    """What `zero_shot` found.

    figures: `zero_shot/top-1`, `zero_shot/top-5`, `zero_shot/mean_per_class`; accuracy_C: top-1 within each class in
    the order of `classes`, NaN where it has no picture; confusion_CC: pictures by true class (row) and predicted one
    (column), None beyond 200 classes; confused: the most frequent mistakes, at most 50.
    """

    figures: dict[str, Figure]
    classes: tuple[str, ...]
    accuracy_C: np.ndarray
    confusion_CC: np.ndarray | None
    confused: tuple[Confusion, ...]


def class_embeddings(
    encode_text: Callable[[Sequence[str]], np.ndarray], classes: Sequence[str], templates: str | Sequence[str]
) -> np.ndarray:
    """One unit-length embedding a class: the mean of its unit-length embeddings in all templates. -> (C, D) float32

    encode_text: texts -> (texts, D); templates: a name in `TEMPLATES` or templates of your own. Raises UsageError for
    these, or when there is no class.
    """
    if not classes:
        raise UsageError("there is no class to choose from; name at least one")
    templates = templates_for(templates)
    at_once = max(1, _TEXTS_AT_ONCE // len(templates))
    blocks = []
    for start in range(0, len(classes), at_once):
        names = classes[start : start + at_once]
        text_XD = np.asarray(encode_text([fill(template, name) for name in names for template in templates]))
        text_CTD = _unit_length(text_XD).reshape(len(names), len(templates), -1)
        blocks.append(_unit_length(text_CTD.mean(axis=1)))
    return np.concatenate(blocks).astype(np.float32)


def zero_shot(
    image_ND: np.ndarray,
    class_CD: np.ndarray,
    label_N: np.ndarray,
    classes: Sequence[str],
    *,
    group_N: np.ndarray | None = None,
) -> ZeroShotResult:
    """How often the true class's embedding is the nearest, or among the five nearest, by dot product.

    label_N: the index of each picture's class. group_N: pictures that are not independent (of one object, say) share
    a label here; intervals then resample whole groups. `mean_per_class` weighs every class that has pictures alike.
    Of classes that tie the true one stands in the middle. Raises DataError for a label that is no class, or for
    features that are not finite.
    """
    label_N = np.asarray(label_N)
    _check(image_ND, class_CD, label_N, classes)
    rank_N = first_match_ranks(image_ND, class_CD, label_N, np.arange(len(classes)))
    predicted_N = best_matches(image_ND, class_CD, 1)[0][:, 0]
    groups = np.arange(len(label_N)) if group_N is None else np.asarray(group_N)
    matrix = None
    if len(classes) <= LARGEST_MATRIX:
        matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(matrix, (label_N, predicted_N), 1)
    return ZeroShotResult(
        figures=_figures(rank_N, label_N, groups, len(classes)),
        classes=tuple(classes),
        accuracy_C=_per_class((rank_N == 0).astype(float), label_N, np.ones(len(label_N)), len(classes)),
        confusion_CC=matrix,
        confused=_most_confused(label_N, predicted_N, classes),
    )


def _figures(rank_N: np.ndarray, label_N: np.ndarray, groups: np.ndarray, num_classes: int) -> dict[str, Figure]:
    hit_N = (rank_N == 0).astype(float)

    def mean_per_class(times_N: np.ndarray) -> float:
        return float(np.nanmean(_per_class(hit_N, label_N, times_N, num_classes)))

    found = {
        "top-1": (bootstrap_mean(rank_N < 1, groups=groups), 1 / num_classes),
        "top-5": (bootstrap_mean(rank_N < 5, groups=groups), min(1.0, 5 / num_classes)),
        "mean_per_class": (bootstrap(mean_per_class, len(label_N), groups=groups), 1 / num_classes),
    }
    n = len(np.unique(groups))
    return {
        f"zero_shot/{name}": Figure(value=value, low=low, high=high, chance=chance, n=n, candidates=num_classes)
        for name, ((value, low, high), chance) in found.items()
    }


def _per_class(hit_N: np.ndarray, label_N: np.ndarray, times_N: np.ndarray, num_classes: int) -> np.ndarray:
    """The share of hits within each class when item i counts times_N[i] times; NaN for a class without any. -> (C,)"""
    hits_C = np.bincount(label_N, weights=hit_N * times_N, minlength=num_classes)
    all_C = np.bincount(label_N, weights=times_N, minlength=num_classes)
    return np.divide(hits_C, all_C, out=np.full(num_classes, np.nan), where=all_C > 0)


def _most_confused(label_N: np.ndarray, predicted_N: np.ndarray, classes: Sequence[str]) -> tuple[Confusion, ...]:
    wrong = label_N != predicted_N
    pairs, counts = np.unique(np.stack([label_N[wrong], predicted_N[wrong]]), axis=1, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:MOST_CONFUSED]
    return tuple(Confusion(classes[int(pairs[0, i])], classes[int(pairs[1, i])], int(counts[i])) for i in most)


def _check(image_ND: np.ndarray, class_CD: np.ndarray, label_N: np.ndarray, classes: Sequence[str]) -> None:
    if len(image_ND) != len(label_N) or len(class_CD) != len(classes):
        raise ValueError(
            f"{len(image_ND)} images for {len(label_N)} labels and {len(class_CD)} class embeddings for "
            f"{len(classes)} names; give one a row"
        )
    if len(label_N) == 0:
        raise DataError("there is no picture to classify; check the split")
    outside = (label_N < 0) | (label_N >= len(classes))
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(f"picture {row} has label {label_N[row]}; the {len(classes)} classes count from 0")
    for name, features in (("picture", image_ND), ("class", class_CD)):
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():  # comparisons with NaN are false, so that the true class would rank first
            raise DataError(f"the features of {name} {int(np.argmin(finite))} are not finite; check the model")


def _unit_length(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
