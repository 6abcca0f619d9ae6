"""A finished model before a split: retrieval both ways, and zero-shot where the split has classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from amodal.evaluation import class_embeddings, retrieval, retrieval_gain, zero_shot
from amodal.features import Encoder
from amodal.metrics import Figure
from amodal.recipes.pairs import Judged
from amodal.recipes.schema import EvaluationConfig
from amodal.runs import Confusion


@dataclass(frozen=True)
class Verdict:
    """What a split showed: its figures, the unit vectors (N, D) of its pictures and (M, D) of its texts that they come
    from, and the confusion of its classes when there are few enough to show."""

    figures: dict[str, Figure]
    image_ND: np.ndarray
    text_MD: np.ndarray
    confusion: Confusion | None = None


def judge(config: EvaluationConfig, pairs: Judged, classes: Sequence[str] | None) -> Verdict:
    """Encodes one split and judges it. classes: the labels in order, where its source has some."""
    image_ND, text_MD = pairs.encode()
    groups = len(np.unique(pairs.text_groups))
    figures = retrieval(image_ND, text_MD, pairs.image_groups, pairs.text_groups, **_among(config, pairs))
    labels = [row.attributes.get("label") for row in pairs.rows]
    if classes is None or None in labels:
        return Verdict(figures, image_ND, text_MD)
    here = sorted({label for label in labels if label is not None}, key=list(classes).index)
    class_CD = class_embeddings(pairs.encoder.texts, here, config.templates)
    place = {name: number for number, name in enumerate(here)}
    label_N = np.array([place[label] for label in labels if label is not None])
    result = zero_shot(image_ND, class_CD, label_N, here, group_N=pairs.image_groups if groups > len(here) else None)
    confusion = None if result.confusion_CC is None else Confusion(classes=here, counts=result.confusion_CC)
    return Verdict(figures | result.figures, image_ND, text_MD, confusion)


def against(config: EvaluationConfig, pairs: Judged, verdict: Verdict, begun: Encoder) -> dict[str, Figure]:
    """`start/` and `gain/`: the recall of the model that a run started from on the same pairs, and what the run has
    gained over it, query by query. begun: that model; its towers are those of the run."""
    before = replace(pairs, encoder=begun).encode()
    groups, among = (pairs.image_groups, pairs.text_groups), _among(config, pairs)
    gained = retrieval_gain(before, (verdict.image_ND, verdict.text_MD), *groups, **among)
    had = retrieval(*before, *groups, **among)
    return {f"{kind}/{name}": found[name] for kind, found in (("start", had), ("gain", gained)) for name in gained}


def _among(config: EvaluationConfig, pairs: Judged) -> dict[str, Any]:
    """Of how many groups a retrieval chooses, over how many draws."""
    groups = len(np.unique(pairs.text_groups))
    return {"candidates": min(config.candidates, groups) if config.candidates else None, "draws": config.draws}
