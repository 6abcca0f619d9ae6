"""Whether calibrated scores keep their word on trials that they were not learnt from, beside the raw cosine."""

import numpy as np

from amodal.metrics import Figure, bootstrap_mean, calibration_error, refusal, refusal_gain
from amodal.search.calibration import Calibration
from amodal.search.trials import Kind, Trials


def calibration_figures(calibration: Calibration, trials: Trials) -> dict[str, Figure]:
    """`calibration_error` of the best answer; `refused` and `refused_raw`, of all absent queries where 5 % of the true
    ones are lost, by the chance that there is an answer and by the cosine of the best one; `gain`, in pairs; the same
    two for each kind of absent query; `lost` and `refused_at_cut`, what the cut of the calibration does.

    Intervals resample whole concepts.
    """
    known_TKF = trials.evidence()
    chance_T, presence_T = calibration.fits(known_TKF[:, 0]), calibration.present(known_TKF[:, 0])
    cosine_T, there_T = trials.score_TK[:, 0], trials.kind_T == Kind.PRESENT
    error = calibration_error(chance_T, trials.right_TK[:, 0], groups=trials.concept_T)
    figures = {"calibration_error": error}
    for name, absent_T in _absent(trials.kind_T):
        groups = np.concatenate([trials.concept_T[there_T], trials.concept_T[absent_T]])
        one, other = ((score[there_T], score[absent_T]) for score in (presence_T, cosine_T))
        figures[f"refused{name}"] = refusal(*one, groups=groups)
        figures[f"refused_raw{name}"] = refusal(*other, groups=groups)
        if not name:
            figures["gain"] = refusal_gain(one, other, groups=groups)
    below_T = (presence_T < calibration.cut).astype(float)
    for name, rows in (("lost", there_T), ("refused_at_cut", ~there_T)):
        figures[name] = _share(below_T[rows], trials.concept_T[rows])
    return figures


def _absent(kind_T: np.ndarray) -> list[tuple[str, np.ndarray]]:
    kinds = [(f"/{kind.name.lower()}", kind_T == kind) for kind in Kind if kind != Kind.PRESENT]
    return [("", kind_T != Kind.PRESENT), *((name, rows) for name, rows in kinds if rows.any())]


def _share(value_N: np.ndarray, concept_N: np.ndarray) -> Figure:
    value, low, high = bootstrap_mean(value_N, groups=concept_N)
    return Figure(value=value, low=low, high=high, chance=None, n=len(np.unique(concept_N)))
