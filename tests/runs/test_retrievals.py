"""Which retrievals are shown, against the whole matrix."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from amodal.runs import retrievals
from amodal.runs.retrievals import Examples, best_and_worst


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_three_queries_by_hand() -> None:
    image = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    text = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, -1.0]])
    group = np.arange(3)
    best, worst = best_and_worst(image, text, group, group, count=1, k=2)
    assert [(each.query, each.truth, each.rank, round(each.margin, 6)) for each in best] == [(2, 2, 0, 0.8)]
    assert [(each.query, round(each.margin, 6)) for each in worst] == [(0, 0.2)]
    assert [hit.index for hit in best[0].hits] == [2, 1]
    assert [hit.right for hit in best[0].hits] == [True, False]


def test_margins_agree_with_the_whole_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    image, text = unit(random.normal(size=(30, 8))), unit(random.normal(size=(60, 8)))
    image_group, text_group = np.arange(30), np.arange(60) // 2
    sim = image @ text.T
    own = image_group[:, None] == text_group[None, :]
    margin = np.where(own, sim, -9).max(1) - np.where(own, -9, sim).max(1)
    monkeypatch.setattr(retrievals, "BLOCK_CELLS", 100)  # one query a block
    best, worst = best_and_worst(image, text, image_group, text_group, count=5)
    assert [each.query for each in best] == np.argsort(-margin)[:5].tolist()
    assert [each.query for each in worst] == np.argsort(margin)[:5].tolist()
    for each in (*best, *worst):
        assert each.margin == pytest.approx(margin[each.query])
        assert (
            each.rank
            == (np.delete(sim[each.query], np.flatnonzero(own[each.query])) > sim[each.query, each.truth]).sum()
        )
        assert [hit.score for hit in each.hits] == pytest.approx(sorted(sim[each.query], reverse=True)[:3])


def test_one_of_each_group_and_none_twice() -> None:
    random = np.random.default_rng(1)
    image, text = unit(random.normal(size=(12, 4))), unit(random.normal(size=(4, 4)))
    group = np.arange(12) % 3
    best, worst = best_and_worst(image, text, group, np.arange(4), count=6)
    assert len({group[each.query] for each in best}) == len(best) == 1
    assert not {each.query for each in best} & {each.query for each in worst}


def test_a_query_without_its_own_is_left_out() -> None:
    image, text = np.eye(4), np.eye(4)
    best, worst = best_and_worst(image, text, np.array([0, 1, 2, 99]), np.arange(4), count=6)
    assert 3 not in {each.query for each in (*best, *worst)}
    assert best_and_worst(image, text, np.full(4, 99), np.arange(4)) == ([], [])


def examples(**changed: Any) -> Examples:
    given: dict[str, Any] = {
        "image_features": np.eye(3),
        "text_features": np.eye(3)[[0, 0, 1, 2]],
        "image_groups": np.array(["b", "a", "c"]),
        "text_groups": np.array(["a", "b", "a", "b"]),
        "captions": ["one", "two", "three", "four"],
        "picture": lambda index: Image.new("RGB", (4, 4), (index, 0, 0)),
    }
    return Examples(**{**given, **changed})


def test_pairs_take_the_first_of_each_group() -> None:
    image, text = examples().pairs()
    assert image.tolist() == [0, 1]
    assert text.tolist() == [1, 0]


@pytest.mark.parametrize("name", ["captions", "image_groups", "text_groups"])
def test_lengths_must_agree(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has 1 entries"):
        examples(**{name: ["x"]})
