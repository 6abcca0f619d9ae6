"""Annotations answer to the names that a scene answers to."""

from typing import Any

from amodal.data.annotations import Annotations, Instance, Link, OpenQuestion, Sentence, said_of
from amodal.data.scenes import Scenes


def grounded(known: Any) -> list[tuple[str, list[tuple[float, ...]]]]:
    """What a grounder is judged on: each phrase of the captions with its boxes."""
    return [
        (caption.text[link.start : link.end], [tuple(known.things[place].box) for place in link.things])
        for caption in known.captions
        for link in caption.phrases
        if link.role == "phrase"
    ]


def answered(known: Any) -> list[tuple[str, str, str]]:
    return [(question.kind, question.text, question.answer) for question in known.questions]


def test_one_reader_serves_scenes_and_photographs() -> None:
    photo = Annotations(
        things=(Instance("people", (0, 0, 5, 9)), Instance("animals", (5, 2, 8, 9))),
        captions=(Sentence("A man walks dogs .", (Link(0, 5, "phrase", (0,)), Link(12, 16, "phrase", (1,)))),),
        questions=(OpenQuestion("number", "How many dogs?", "1", ("1",) * 10, "7"),),
    )
    assert grounded(photo) == [("A man", [(0, 0, 5, 9)]), ("dogs", [(5, 2, 8, 9)])]
    assert answered(photo) == [("number", "How many dogs?", "1")]
    scene = Scenes("train", seed=3)[2]
    assert grounded(scene)
    assert len(answered(scene)) == len(scene.questions) > 0


def test_a_text_about_one_thing() -> None:
    assert said_of("the red cup", 4, "12") == Sentence("the red cup", (Link(0, 11, "phrase", (4,), "12"),))
