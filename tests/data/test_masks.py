"""Masks: every pixel as pycocotools has it, and what is malformed is refused."""

import warnings
from typing import Any

import numpy as np
import pytest
from pycocotools import mask

from amodal.data.masks import BadAnnotation, corner_box, read_mask

HEIGHT, WIDTH = 37, 53
cocotools: Any = mask


def theirs(segmentation: object) -> np.ndarray:
    encoded = cocotools.frPyObjects(segmentation, HEIGHT, WIDTH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        decoded = cocotools.decode(encoded)
    return np.any(np.atleast_3d(decoded), axis=2)


def test_a_square_by_hand() -> None:
    mask = read_mask([[1, 1, 4, 1, 4, 3, 1, 3]], (5, 6)).pixels()
    expected = np.zeros((5, 6), dtype=bool)
    expected[1:3, 1:4] = True
    assert np.array_equal(mask, expected)


def test_polygons_are_those_of_pycocotools() -> None:
    """Round and jagged, over the edges, with corners on whole pixels, repeated and crossing, one or several."""
    random = np.random.default_rng(0)
    set_pixels = 0
    for number in range(150):
        polygons = []
        for _ in range(1 + number % 3):
            corners = random.uniform(-8, 60, (int(random.integers(3, 14)), 2))
            corners = np.round(corners, int(random.integers(0, 3)))
            if number % 5 == 0:
                corners[1] = corners[0]
            polygons.append(corners.ravel().tolist())
        mine = read_mask(polygons, (HEIGHT, WIDTH)).pixels()
        assert np.array_equal(mine, theirs(polygons)), polygons
        set_pixels += int(mine.sum())
    assert set_pixels > 10_000


def test_runs_are_those_of_pycocotools() -> None:
    random = np.random.default_rng(1)
    for number in range(60):
        mask = random.random((HEIGHT, WIDTH)) < (0.02, 0.5, 0.98)[number % 3]
        if number % 2:
            mask[:, : number % WIDTH] = True  # long runs need several letters
        packed = cocotools.encode(np.asfortranarray(mask.astype(np.uint8)))
        text = {"counts": packed["counts"].decode(), "size": list(packed["size"])}
        assert np.array_equal(read_mask(text, (HEIGHT, WIDTH)).pixels(), mask)
        flat = mask.ravel(order="F").astype(int)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], flat, [-1]))))
        counts = np.diff(np.concatenate(([0], edges))).tolist()
        plain = {"counts": counts, "size": [HEIGHT, WIDTH]}
        assert np.array_equal(read_mask(plain, (HEIGHT, WIDTH)).pixels(), mask)
        assert np.array_equal(theirs(plain), mask)


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([], "three points"),
        ([[1, 1, 2, 2]], "three points"),
        ([[1, 1, 2, 2, 3]], "three points"),
        ([[1, 1, 2, 2, 3, float("nan")]], "three points"),
        ({"counts": [5, 4], "size": [2, 5]}, "runs of 9 pixels"),
        ({"counts": [5, 5], "size": [5, 2]}, "size"),
        ({"counts": [12, -2], "size": [2, 5]}, "runs of 10 pixels"),
        ({"counts": "", "size": [2, 5]}, "cut short"),
        ({"counts": "P", "size": [2, 5]}, "cut short"),
        ({"counts": "~", "size": [2, 5]}, "no letter"),
    ],
)
def test_malformed_masks_are_refused(segmentation: object, reason: str) -> None:
    with pytest.raises(BadAnnotation, match=reason):
        read_mask(segmentation, (2, 5))


def test_boxes_are_cut_at_the_edges_and_empty_ones_refused() -> None:
    assert corner_box(1, 2, 3, 4) == (1, 2, 4, 6)
    assert corner_box(-1, -2, 3, 40, (20, 10)) == (0, 0, 2, 20)
    for box in ((1, 1, 0, 5), (1, 1, 5, -1), (1, 1, float("nan"), 2)):
        with pytest.raises(BadAnnotation, match="empty box"):
            corner_box(*box)
    with pytest.raises(BadAnnotation, match="empty box"):
        corner_box(30, 0, 3, 3, (20, 10))
