"""VQA v2, from a small copy in its exact layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amodal.core.errors import DataError
from amodal.data.annotations import OpenQuestion
from amodal.data.folders import NoCaptions
from amodal.data.published import published_reader, read_vqa
from amodal.data.sources import open_pictures, open_table

Put = Callable[..., None]
HEAD = {"info": {"year": 2017, "version": "2.0"}, "license": {"name": "CC-BY 4.0"}, "data_type": "mscoco"}


def ask(picture: int, number: int, text: str) -> dict[str, Any]:
    return {"image_id": picture, "question": text, "question_id": number}


def answer(picture: int, number: int, kind: str, answers: list[str]) -> dict[str, Any]:
    told = [{"answer": each, "answer_confidence": "yes", "answer_id": n} for n, each in enumerate(answers, start=1)]
    said = {"question_type": "what is this", "multiple_choice_answer": answers[0], "answers": told}
    return {**said, "image_id": picture, "answer_type": kind, "question_id": number}


def write(folder: Path, subset: str, questions: list[Any], answers: list[Any] | None) -> None:
    asked = {**HEAD, "data_subtype": subset, "task_type": "Open-Ended", "questions": questions}
    (folder / f"v2_OpenEnded_mscoco_{subset}_questions.json").write_text(json.dumps(asked))
    if answers is not None:
        told = {**HEAD, "data_subtype": subset, "annotations": answers}
        (folder / f"v2_mscoco_{subset}_annotations.json").write_text(json.dumps(told))


NET = ["net"] * 8 + ["netting", "mesh"]


@pytest.fixture
def vqa(tmp_path: Path, put: Put) -> Path:
    put(tmp_path / "val2014" / "COCO_val2014_000000458752.jpg")
    put(tmp_path / "test2015" / "COCO_test2015_000000000001.jpg")
    questions = [ask(458752, 458752000, "What is this taken through?"), ask(458752, 458752001, "Is it day? ")]
    answers = [answer(458752, 458752001, "yes/no", ["yes"] * 10), answer(458752, 458752000, "other", NET)]
    write(tmp_path, "val2014", questions, answers)
    write(tmp_path, "test-dev2015", [ask(1, 1000, "How many?")], None)
    return tmp_path


def test_questions_with_ten_answers(vqa: Path) -> None:
    assert published_reader(vqa) is read_vqa
    table = open_table(vqa, annotated=True)
    [row] = table.split("val").rows
    assert row.key == "v2_OpenEnded_mscoco_val2014_questions.json:image_id 458752"
    assert row.attributes == {"split": "val", "image_id": "458752"}
    assert row.annotations is not None
    assert row.annotations.questions == (
        OpenQuestion("other", "What is this taken through?", "net", tuple(NET), "458752000"),
        OpenQuestion("yes/no", "Is it day?", "yes", ("yes",) * 10, "458752001"),
    )
    assert not table.captioned


def test_answers_of_a_test_set_are_kept_secret(vqa: Path) -> None:
    [row] = open_table(vqa, annotated=True).split("test-dev").rows
    assert row.annotations is not None
    assert row.annotations.questions == (OpenQuestion("", "How many?", "", (), "1000"),)


def test_there_are_pictures_but_no_captions(vqa: Path) -> None:
    with pytest.raises(NoCaptions, match="holds questions and no captions"):
        open_table(vqa)
    names = {row.captions for row in open_pictures(vqa).rows}
    assert names == {("COCO_val2014_000000458752.jpg",), ("COCO_test2015_000000000001.jpg",)}


def test_the_folders_of_the_official_tools(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "Images" / "mscoco" / "train2014" / "COCO_train2014_000000000009.jpg")
    for name in ("Questions", "Annotations"):
        (tmp_path / name).mkdir()
    write(tmp_path / "Questions", "train2014", [ask(9, 9000, "What food?")], None)
    write(tmp_path / "Annotations", "train2014", [], [answer(9, 9000, "other", ["rice"] * 10)])
    (tmp_path / "Annotations" / "v2_OpenEnded_mscoco_train2014_questions.json").unlink()
    [row] = read_vqa(tmp_path, annotated=True).rows
    assert row.annotations is not None
    assert row.annotations.questions[0].answer == "rice"


def test_bad_entries_are_skipped_and_named(vqa: Path) -> None:
    questions = [
        ask(458752, 1, "Good?"),
        ask(458752, 2, " "),
        ask(458752, 3, "?"),
        ask(458752, 4, "?"),
        {"image_id": 1},
    ]
    questions += [ask(77, 5, "Gone?")]
    answers = [answer(458752, n, "other", ["a"] * 10) for n in (1, 2, 5)] + [answer(458752, 4, "other", ["a"] * 9)]
    write(vqa, "val2014", questions, answers)
    table = read_vqa(vqa, max_skipped=1, annotated=True)
    assert [len(row.annotations.questions) for row in table.rows if row.annotations] == [1, 1]
    name = "v2_OpenEnded_mscoco_val2014_questions.json"
    assert {entry.key: entry.reason for entry in table.skipped.entries} == {
        f"{name}:question_id 2": "empty question",
        f"{name}:question_id 3": "no answer: the annotations do not have this question",
        f"{name}:question_id 4": "unusable answers: 9 in place of 10 texts",
        f"{name}:entry 5": "malformed entry: KeyError('question_id')",
        f"{name}:image_id 77": "missing image file: COCO_val2014_000000000077.jpg",
    }


def test_what_is_missing_or_another_format_is_said(vqa: Path) -> None:
    (vqa / "v2_mscoco_val2014_annotations.json").write_text("{}")
    with pytest.raises(DataError, match=r"v2_mscoco_val2014_annotations.json is not in VQA's annotation format"):
        read_vqa(vqa)
    (vqa / "v2_mscoco_val2014_annotations.json").unlink()
    with pytest.raises(DataError, match=r"has questions of val2014 and no v2_mscoco_val2014_annotations.json"):
        read_vqa(vqa)
    (vqa / "v2_OpenEnded_mscoco_val2014_questions.json").write_text('{"questions": 1}')
    with pytest.raises(DataError, match="is not in VQA's question format"):
        read_vqa(vqa)
