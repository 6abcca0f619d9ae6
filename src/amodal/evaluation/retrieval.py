"""Recall@K and median rank between pictures and texts, in both directions, with the chance level beside them.

N images · M texts · D width · T trials (a query in a draw) · Q queries · C candidates
"""

from typing import NamedTuple

import numpy as np

from amodal.core.errors import DataError, UsageError
from amodal.metrics import Figure, bootstrap_mean, first_match_ranks
from amodal.metrics.bootstrap import bootstrap_median

RECALLS = (1, 5, 10)


class _Side(NamedTuple):
    features: np.ndarray
    group: np.ndarray


class _Trials(NamedTuple):
    """Every query of every draw. rank: 0 = best; matches: right candidates it had; candidates: all it had."""

    query: np.ndarray
    group: np.ndarray
    rank: np.ndarray
    matches: np.ndarray
    candidates: np.ndarray


def retrieval(
    image_ND: np.ndarray,
    text_MD: np.ndarray,
    image_group_N: np.ndarray,
    text_group_M: np.ndarray,
    *,
    candidates: int | None = None,
    draws: int = 20,
    seed: int = 0,
) -> dict[str, Figure]:
    """`image_to_text/` and `text_to_image/` with `R@1`, `R@5`, `R@10` and `median_rank` (1 = best).

    Scores are dot products: give unit-length features. A text is right for a picture when their groups are equal, so
    one of several captions is enough. candidates: instead of everything, the mean over `draws` random draws of that
    many groups, whose pictures search among the same groups' texts and the other way round; it makes sets of
    different size comparable, and a figure's `candidates` is then the mean number of items in a draw. Intervals
    resample whole groups, and `n` counts them. Raises UsageError for a wrong number, DataError for features that are
    not finite or a group with nothing on one side.
    """
    images, texts = _sides(image_ND, text_MD, image_group_N, text_group_M)
    drawn = _draw_groups(int(texts.group.max()) + 1, candidates, draws, seed)
    figures = {}
    for name, queries, pool in (("image_to_text", images, texts), ("text_to_image", texts, images)):
        figures |= {f"{name}/{metric}": figure for metric, figure in _figures(_trials(queries, pool, drawn)).items()}
    return figures


def retrieval_gain(
    before: tuple[np.ndarray, np.ndarray],
    after: tuple[np.ndarray, np.ndarray],
    image_group_N: np.ndarray,
    text_group_M: np.ndarray,
    *,
    candidates: int | None = None,
    draws: int = 20,
    seed: int = 0,
) -> dict[str, Figure]:
    """What one model finds less what another did, on the same queries: R@1, R@5 and R@10 in both directions.

    before, after: features of the images (N, D) and the texts (M, D) by either model; everything else and errors as in
    `retrieval`. Differences are taken query by query before groups are resampled, so that the interval is of the gain
    and not of two figures.
    """
    hits: dict[str, list[tuple[np.ndarray, _Trials]]] = {}
    for image_ND, text_MD in (before, after):
        images, texts = _sides(image_ND, text_MD, image_group_N, text_group_M)
        drawn = _draw_groups(int(texts.group.max()) + 1, candidates, draws, seed)
        for name, queries, pool in (("image_to_text", images, texts), ("text_to_image", texts, images)):
            trials = _trials(queries, pool, drawn)
            for k in RECALLS:
                hits.setdefault(f"{name}/R@{k}", []).append((trials.rank < k, trials))
    figures = {}
    for name, ((hit_T, trials), (now_T, _)) in hits.items():
        gain_Q, group_Q = _by_query(now_T.astype(np.float64) - hit_T, trials)
        value, low, high = bootstrap_mean(gain_Q, groups=group_Q)
        number = round(float(trials.candidates.mean()))
        figures[name] = Figure(
            value=value, low=low, high=high, chance=None, n=len(np.unique(group_Q)), candidates=number
        )
    return figures


def chance_ranks(matches_T: np.ndarray, candidates_T: np.ndarray) -> np.ndarray:
    """How likely random features find a right candidate among the first r, r from 1 on; mean of T. -> (largest C,)

    Of c candidates in random order m are right: all of the first r are wrong with (c-m choose r) / (c choose r).
    """
    longest = int(candidates_T.max())
    found_R = np.zeros(longest)
    kinds, times = np.unique(np.stack([matches_T, candidates_T]), axis=1, return_counts=True)
    for (matches, candidates), count in zip(kinds.T, times, strict=True):
        left = candidates - np.arange(candidates)
        missed = np.cumprod(np.maximum(left - matches, 0) / left)
        found_R += count / len(matches_T) * np.pad(1 - missed, (0, longest - candidates), constant_values=1.0)
    return found_R


def _sides(
    image_ND: np.ndarray, text_MD: np.ndarray, image_group_N: np.ndarray, text_group_M: np.ndarray
) -> tuple[_Side, _Side]:
    """Images and texts with their groups numbered from 0. Raises DataError."""
    for name, features, group in (("image", image_ND, image_group_N), ("text", text_MD, text_group_M)):
        _check_features(name, features, group)
    both = np.concatenate([np.asarray(image_group_N), np.asarray(text_group_M)])
    groups, group_both = np.unique(both, return_inverse=True)
    images = _Side(image_ND, group_both[: len(image_ND)])
    texts = _Side(text_MD, group_both[len(image_ND) :])
    for name, side in (("image", images), ("text", texts)):
        if len(lacking := np.setdiff1d(np.arange(len(groups)), side.group)):
            raise DataError(f"group {groups[lacking[0]]} has no {name}; give every group an image and a text")
    return images, texts


def _by_query(value_T: np.ndarray, trials: _Trials) -> tuple[np.ndarray, np.ndarray]:
    """The mean over draws of what each trial gave, a value a query, and the group of each. -> (Q,), (Q,)"""
    query_Q, first_Q, trial_T, times_Q = np.unique(
        trials.query, return_index=True, return_inverse=True, return_counts=True
    )
    return np.bincount(trial_T, weights=value_T, minlength=len(query_Q)) / times_Q, trials.group[first_Q]


def _check_features(name: str, features: np.ndarray, group: np.ndarray) -> None:
    if len(features) != len(group):
        raise ValueError(f"{len(features)} {name} features for {len(group)} groups; give one group a row")
    if len(features) == 0:
        raise DataError(f"there is no {name} to evaluate; check the split")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():  # comparisons with NaN are false, so that such a query would rank first
        raise DataError(f"the features of {name} {int(np.argmin(finite))} are not finite; check the model and the row")


def _draw_groups(num_groups: int, candidates: int | None, draws: int, seed: int) -> list[np.ndarray]:
    """The groups of each draw; everything once when `candidates` is None."""
    if candidates is None:
        return [np.arange(num_groups)]
    if not 1 <= candidates <= num_groups:
        raise UsageError(f"candidates={candidates} of {num_groups} groups; give a number from 1 to {num_groups}")
    if draws < 1:
        raise UsageError(f"draws={draws}; give at least 1")
    random = np.random.default_rng(seed)
    return [random.choice(num_groups, size=candidates, replace=False) for _ in range(draws)]


def _trials(queries: _Side, pool: _Side, drawn: list[np.ndarray]) -> _Trials:
    """Ranks of the queries of each draw among the candidates of the same draw, one draw behind the other."""
    parts = []
    for groups in drawn:
        query = np.flatnonzero(np.isin(queries.group, groups))
        kept = np.flatnonzero(np.isin(pool.group, groups))
        group, pool_group = queries.group[query], pool.group[kept]
        rank = first_match_ranks(queries.features[query], pool.features[kept], group, pool_group)
        matches = np.bincount(pool_group)[group]
        parts.append(_Trials(query, group, rank, matches, np.full(len(query), len(kept))))
    return _Trials(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _figures(trials: _Trials) -> dict[str, Figure]:
    chance_R = chance_ranks(trials.matches, trials.candidates)
    size = {"n": len(np.unique(trials.group)), "candidates": round(float(trials.candidates.mean()))}
    figures = {}
    for k in RECALLS:
        hit_Q, group_Q = _by_query(trials.rank < k, trials)
        value, low, high = bootstrap_mean(hit_Q, groups=group_Q)
        chance = float(chance_R[min(k, len(chance_R)) - 1])
        figures[f"R@{k}"] = Figure(value=value, low=low, high=high, chance=chance, **size)
    value, low, high = bootstrap_median(trials.rank + 1, groups=trials.group)
    figures["median_rank"] = Figure(value=value, low=low, high=high, chance=_median_of(chance_R), **size)
    return figures


def _median_of(found_R: np.ndarray) -> float:
    """The median rank of a distribution given by its cumulative shares; the middle of two where it is exactly half."""
    lower, upper = np.argmax(found_R > 0.5 - 1e-9), np.argmax(found_R > 0.5 + 1e-9)
    return float(lower + upper) / 2 + 1
