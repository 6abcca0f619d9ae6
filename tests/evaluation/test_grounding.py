"""Grounding judged: a map that knows, one that knows nothing, and one that points elsewhere."""

import numpy as np
import pytest

from amodal.evaluation.grounding import Located, enlarged, grounding

MASK = np.zeros((8, 8), bool)
MASK[2:4, 4:8] = True
BOX = (4, 2, 8, 4)


def judged(map_GG: np.ndarray) -> dict[str, float]:
    figures = grounding([Located(map_GG, MASK, [BOX], picture) for picture in range(3)])
    assert figures["grounding/pointing"].n == 3
    return {name.removeprefix("grounding/"): figure.value for name, figure in figures.items()}


def test_the_truth_itself_is_found_and_its_opposite_is_not() -> None:
    truth = np.where(MASK, 4.0, -4.0)
    assert judged(truth) == {"pointing": 1.0, "R@1": 1.0, "iou": 1.0, "iou_ceiling": 1.0}
    assert judged(-truth) == {"pointing": 0.0, "R@1": 0.0, "iou": 0.0, "iou_ceiling": 1.0}


def test_a_map_without_knowledge_gets_what_chance_is_said_to_be() -> None:
    figures = grounding([Located(np.ones((4, 4)), MASK, [BOX], 0)])
    for name in ("pointing", "R@1", "iou"):
        figure = figures[f"grounding/{name}"]
        assert figure.value == pytest.approx(figure.chance)
    assert figures["grounding/iou"].value == pytest.approx(8 / 64)


def test_one_of_several_things_is_enough_for_a_box_and_not_for_the_mask() -> None:
    mask = MASK.copy()
    mask[6:8, 0:4] = True
    figures = grounding([Located(np.where(MASK, 4.0, -4.0), mask, [BOX, (0, 6, 4, 8)], 0)])
    assert figures["grounding/R@1"].value == 1.0
    assert figures["grounding/iou"].value == pytest.approx(0.5)


def test_what_is_nowhere_likely_is_where_it_is_least_unlikely() -> None:
    assert judged(np.where(MASK, -3.0, -5.5)) == {"pointing": 1.0, "R@1": 1.0, "iou": 1.0, "iou_ceiling": 1.0}
    assert judged(np.where(MASK, -3.0, -4.5))["iou"] == pytest.approx(8 / 64)


def test_no_phrase_is_told() -> None:
    with pytest.raises(ValueError, match="cannot average nothing"):
        grounding([])


def test_a_map_is_enlarged_as_torch_does_it() -> None:
    assert enlarged(np.array([[0.0, 4.0]]), (1, 4))[0].tolist() == [0.0, 1.0, 3.0, 4.0]
