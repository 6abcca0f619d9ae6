"""A finished model before a split: retrieval both ways, and zero-shot where the split has classes."""

from collections.abc import Sequence

import numpy as np

from amodal.evaluation import class_embeddings, retrieval, zero_shot
from amodal.features import Encoder
from amodal.metrics import Figure
from amodal.recipes.pairs import Judged
from amodal.recipes.schema import EvaluationConfig
from amodal.runs import Confusion


def judge(
    config: EvaluationConfig, encoder: Encoder, pairs: Judged, classes: Sequence[str] | None
) -> tuple[dict[str, Figure], Confusion | None]:
    """The figures of one split, and the confusion of classes when there are few enough to show."""
    image_ND, text_MD = pairs.encode()
    groups = len(np.unique(pairs.text_groups))
    candidates = min(config.candidates, groups) if config.candidates else None
    figures = retrieval(
        image_ND, text_MD, pairs.image_groups, pairs.text_groups, candidates=candidates, draws=config.draws
    )
    labels = [row.attributes.get("label") for row in pairs.rows]
    if classes is None or None in labels:
        return figures, None
    here = sorted({label for label in labels if label is not None}, key=list(classes).index)
    class_CD = class_embeddings(encoder.texts, here, config.templates)
    place = {name: number for number, name in enumerate(here)}
    label_N = np.array([place[label] for label in labels if label is not None])
    result = zero_shot(image_ND, class_CD, label_N, here, group_N=pairs.image_groups if groups > len(here) else None)
    confusion = None if result.confusion_CC is None else Confusion(classes=here, counts=result.confusion_CC)
    return figures | result.figures, confusion
