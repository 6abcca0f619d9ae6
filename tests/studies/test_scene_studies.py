"""The rules of the studies on scenes, on values made by hand; and that a bench gives equal models, parameters and
items."""

from pathlib import Path

import numpy as np
import pytest

from amodal.features import FeatureCache
from amodal.recipes.finish import num_parameters
from amodal.recipes.scene_schema import READER
from amodal.studies import Study
from amodal.studies.curriculum import ALONE, AT_ONCE, FIRST, RELATION, Curriculum, CurriculumConfig
from amodal.studies.fusion import JUDGED_DEEP, Fusion, FusionConfig
from amodal.studies.levels import ALL, NONE, PIXEL, REGION, WEAK, Levels
from amodal.studies.scene_bench import SceneBench, SceneConfig
from amodal.studies.study import Place

CHANGES = ("matching/attribute", "matching/count", "matching/object", "matching/relation")
QUESTIONS = ("answers", "answers without the picture", "answers without the words")
SMALL = SceneConfig(seeds=2, scenes=40, judged=20, epochs=1)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(FeatureCache(), tmp_path)


def verdicts(study: Study, means: dict[str, dict[str, float]], otherwise: float = 0.5) -> list[str]:
    """Of a study whose figures have these means over five seeds and 300 items, and `otherwise` where none is given."""
    random = np.random.default_rng(0)
    figures = ("matching", "pointing", "iou", "whole matching", *QUESTIONS, *CHANGES, "ms", "kB", "parameters")
    common = {figure: random.normal(scale=0.1, size=(5, 300)) for figure in figures}
    measured = {
        setting: {
            figure: means.get(setting, {}).get(figure, otherwise)
            + common[figure]
            + random.normal(scale=0.01, size=(5, 300))
            for figure in figures
        }
        for setting in study.settings()
    }
    found = study.conclude(measured)
    assert set(found.shown) <= {row.figure for row in found.rows}
    return [check.verdict for check in found.checks]


@pytest.mark.parametrize(
    ("deep", "reader", "expected"),
    [
        (0.6, 0.8, ["holds", "holds", "holds"]),
        (0.6, 0.65, ["holds", "holds", "does not hold"]),
        (0.4, 0.8, ["does not hold", "does not hold", "holds"]),
    ],
)
def test_fusion(place: Place, deep: float, reader: float, expected: list[str]) -> None:
    means = {JUDGED_DEEP: {"matching": deep}, READER: {"matching": reader}}
    assert verdicts(Fusion(FusionConfig(), place), means) == expected


@pytest.mark.parametrize(
    ("region", "both", "all_three", "expected"),
    [
        (0.7, 0.6, 0.8, ["holds", "holds", "holds"]),
        (0.55, 0.75, 0.8, ["does not hold", "does not hold", "holds"]),
        (0.7, 0.6, 0.9, ["holds", "holds", "does not hold"]),
    ],
)
def test_levels(place: Place, region: float, both: float, all_three: float, expected: list[str]) -> None:
    means = {NONE: {"pointing": 0.5}, REGION: {"pointing": region}, WEAK: {"matching": both}}
    means |= {PIXEL: {"matching": 0.8}, ALL: {"matching": all_three}}
    assert verdicts(Levels(SceneConfig(), place), means) == expected


@pytest.mark.parametrize(
    ("first", "at_once", "expected"),
    [
        (0.7, 0.8, ["holds", "holds", "holds"]),
        (0.8, 0.7, ["holds", "holds", "does not hold"]),
        (0.5, 0.55, ["does not hold", "does not hold", "holds"]),
    ],
)
def test_curriculum(place: Place, first: float, at_once: float, expected: list[str]) -> None:
    means = {ALONE: {RELATION: 0.5}, FIRST: {RELATION: first}, AT_ONCE: {RELATION: at_once}}
    assert verdicts(Curriculum(CurriculumConfig(), place), means) == expected


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("early", "nowhere", JUDGED_DEEP, READER), "there is no nowhere: there are early, late-concatenation"),
        (("early", "late-gated", READER), f"The rule compares early, {JUDGED_DEEP}, {READER} and at least one"),
        (("early", JUDGED_DEEP, READER), "at least one that is late"),
    ],
)
def test_fusions_that_nothing_can_be_concluded_from_are_refused(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        FusionConfig(fusions=names)


def test_fusions_are_equal_in_parameters(place: Place) -> None:
    study = Fusion(FusionConfig(scenes=40, judged=20), place)
    for fusion in study.settings():
        recipe = study.bench.recipe(
            "matching", [f"model.fusion={fusion}", f"model.width={study.width('matching', fusion)}"]
        )
        assert num_parameters(study.bench.model(recipe, 0), trainable=True) == pytest.approx(200_000, rel=0.12), fusion


def test_the_same_seed_gives_the_same_verdicts_on_the_same_items(place: Place) -> None:
    bench = SceneBench(place, SMALL)
    recipe = bench.recipe("matching", ["model.width=16"])
    found = []
    for seed in (0, 0, 1):
        model = bench.reader(recipe, seed)
        bench.train(recipe, model, seed, "try")
        found.append({**bench.trials(bench.scores(model).fit_N), **bench.pointing(model)})
    assert found[0] == found[1] != found[2]
    assert {name: len(values) for name, values in found[0].items()} == {n: len(v) for n, v in found[2].items()}
    assert len(found[0]["matching"]) == sum(len(found[0][change]) for change in CHANGES if change in found[0])


def test_without_a_modality_nothing_of_it_is_seen(place: Place) -> None:
    bench = SceneBench(place, SMALL)
    for fusion in (READER, "late-product", JUDGED_DEEP):
        model = bench.model(bench.recipe("matching", [f"model.fusion={fusion}", "model.width=16"]), 0)
        blind = bench.trials(bench.scores(model, lacking="text").fit_N)
        assert set(blind["matching"]) == {0.5}, fusion  # both captions of a trial look alike
