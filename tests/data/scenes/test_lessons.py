"""What scenes teach: trials differ in one thing, answers are on the list, words point to their things' places."""

import numpy as np
import pytest

from amodal.data.scenes import (
    CHANGES,
    Scenes,
    answer_list,
    pointed_answer,
    scene_centres,
    scene_covers,
    trials,
    word_links,
)

SCENES = [Scenes("train", seed=3)[number] for number in range(40)]


def test_trials_have_a_true_and_a_false_caption_of_one_form_at_most_one_a_change() -> None:
    seen: set[str] = set()
    for scene in SCENES:
        found = trials(scene)
        assert len({trial.change for trial in found}) == len(found) >= 1
        for trial in found:
            assert scene.facts.holds(trial.true.statement) is True
            assert scene.facts.holds(trial.false.statement) is False
            assert trial.true.form == trial.false.form
            seen.add(trial.change)
    assert seen == set(CHANGES)


@pytest.mark.parametrize("language", ["en", "de", "es"])
def test_every_answer_is_on_the_list(language: str) -> None:
    listed = answer_list(language, language)
    assert len(listed) == len(set(listed)) == 14
    scenes = Scenes("train", seed=3, language=language)
    answers = {pointed_answer(question) for number in range(60) for question in scenes[number].questions}
    assert answers == set(listed)


def test_which_is_left_points_to_the_place_in_the_question() -> None:
    question = next(each for scene in SCENES for each in scene.questions if each.kind == "which is left of")
    first, second = (question.text[link.start : link.end] for link in question.phrases)
    assert {"the first": first, "the second": second}[pointed_answer(question)].endswith(question.answer)


def test_covers_are_shares_of_places_and_centres_sum_to_one() -> None:
    for scene in SCENES[:5]:
        covers, centres = scene_covers(scene, 8), scene_centres(scene, 8)
        assert covers.shape == centres.shape == (len(scene.things), 64)
        pixels = scene.masks[:, :16, 16:32].mean(axis=(1, 2))  # place 1 of the first row
        np.testing.assert_allclose(covers[:, 1], pixels, rtol=1e-5)
        np.testing.assert_allclose(centres.sum(axis=1), 1, rtol=1e-5)
        x, y = np.tile(np.arange(8) + 0.5, 8), np.repeat(np.arange(8) + 0.5, 8)
        for thing, centre in zip(scene.things, centres, strict=True):
            middle = [(thing.box[axis] + thing.box[axis + 2]) / 2 for axis in (0, 1)]
            if all(8 <= at <= 120 for at in middle):  # nearer to the edge it is the outermost place's
                np.testing.assert_allclose([16 * x @ centre, 16 * y @ centre], middle, rtol=1e-4)


def test_tokens_are_linked_by_their_characters() -> None:
    caption = next(caption for scene in SCENES for caption in scene.captions if caption.form == "relation")
    words = [(match, match + len(word)) for match, word in _words(caption.text)]
    linked = dict(word_links(caption, [(0, 0), *words]))
    assert 0 not in linked
    nouns = {place for link in caption.words if link.role == "noun" for place in link.things}
    assert {thing for things in linked.values() for thing in things} == nouns
    relation = [number for number, (start, end) in enumerate(words, 1) if caption.text[start:end] in ("left", "of")]
    assert not set(relation) & set(linked)


def _words(text: str) -> list[tuple[int, str]]:
    found, at = [], 0
    for word in text.split(" "):
        found.append((at, word))
        at += len(word) + 1
    return found


def test_boxes_cover_what_masks_cover_and_their_corners() -> None:
    for scene in SCENES[:5]:
        filled, seen = scene_covers(scene, 8, boxes=True), scene_covers(scene, 8)
        assert (filled >= seen - 1e-6).all()
        for thing, cover in zip(scene.things, filled, strict=True):
            left, top, right, bottom = thing.box
            assert cover.sum() * 16 * 16 == pytest.approx((right - left) * (bottom - top), rel=1e-4)
