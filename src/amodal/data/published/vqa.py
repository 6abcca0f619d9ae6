"""VQA v2: questions about COCO's pictures, ten answers each."""

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from amodal.core.errors import DataError
from amodal.data.annotations import Annotations, OpenQuestion
from amodal.data.masks import BadAnnotation
from amodal.data.pictures import BrokenPicture
from amodal.data.published.documents import first_folder, in_form, read_json, usable
from amodal.data.rows import MAX_SKIPPED, Row, SkipLog, Table, finished_table
from amodal.data.tables import find_picture

ANSWERS = 10
_QUESTIONS = re.compile(r"v2_OpenEnded_mscoco_((train|val|test|test-dev)\d+)_questions\.json")


def has_questions(folder: Path) -> bool:
    """Whether VQA's questions lie in `folder`."""
    return bool(_question_files(folder))


def read_vqa(folder: Path, *, max_skipped: float = MAX_SKIPPED, annotated: bool = False) -> Table:
    """VQA v2 (Goyal et al., 2017), a row a picture, with its questions where `annotated`.

    Reads v2_OpenEnded_mscoco_*_questions.json and v2_mscoco_*_annotations.json, in the folder or under Questions and
    Annotations or annotations; pictures in train2014 ..., alone or under images or Images/mscoco. There are no
    captions: the file's name stands in the place of one, and `captioned` is False. Raises DataError.
    """
    skipped = SkipLog(max_skipped)
    rows: list[Row] = []
    total = 0
    for subset, path in _question_files(folder).items():
        shown = subset.replace("-dev", "")
        roots = (folder / inner / shown for inner in ("", "images", "Images", "Images/mscoco"))
        pictures = first_folder(*roots)
        asked, read = read_questions(folder, subset, skipped)
        total += read
        if pictures is None:
            skipped.add(path.name, f"no pictures: {shown} is not beside it")
            total += 1
            continue
        split = subset.rstrip("0123456789")
        for picture, questions in asked.items():
            name = f"COCO_{shown}_{int(picture):012d}.jpg"
            key = f"{path.name}:image_id {picture}"
            try:
                found = find_picture(pictures, name)
            except BrokenPicture as broken:
                skipped.add(key, str(broken))
                continue
            known = Annotations(questions=tuple(questions)) if annotated else None
            attributes = {"split": split, "image_id": picture}
            pair = f"{subset} {picture}"
            row = Row(key=key, picture=found, captions=(name,), pair=pair, attributes=attributes, annotations=known)
            rows.append(row)
    return replace(finished_table(str(folder), rows, skipped, total), captioned=False)


def read_questions(folder: Path, subset: str, skipped: SkipLog) -> tuple[dict[str, list[OpenQuestion]], int]:
    """picture -> its questions of a subset ("val2014"), and how many were read; none where they do not lie there."""
    path = _question_files(folder).get(subset)
    if path is None:
        return {}, 0
    with in_form(path, "VQA's question format"):
        entries = list(read_json(path)["questions"])
    given = _answers(folder, subset)

    def made(entry: dict[str, Any]) -> tuple[str, OpenQuestion]:
        number, text = str(entry["question_id"]), entry["question"].strip()
        if not text:
            raise BadAnnotation("empty question")
        if given is None:
            return str(int(entry["image_id"])), OpenQuestion("", text, "", (), number)
        told = given.get(number)
        if told is None:
            raise BadAnnotation("no answer: the annotations do not have this question")
        answers = tuple(each["answer"] for each in told["answers"])
        if len(answers) != ANSWERS or not all(isinstance(answer, str) for answer in answers):
            raise BadAnnotation(f"unusable answers: {len(answers)} in place of {ANSWERS} texts")
        said = OpenQuestion(told["answer_type"], text, told["multiple_choice_answer"], answers, number)
        return str(int(entry["image_id"])), said

    found: dict[str, list[OpenQuestion]] = defaultdict(list)
    for picture, question in usable(path, "question_id", entries, made, skipped):
        found[picture].append(question)
    return dict(found), len(entries)


def _answers(folder: Path, subset: str) -> dict[str, dict[str, Any]] | None:
    """question -> its entry in the annotations; None for a test subset, whose answers are not published."""
    name = f"v2_mscoco_{subset}_annotations.json"
    path = next((where / name for where in _places(folder) if (where / name).is_file()), None)
    if path is None:
        if subset.startswith("test"):
            return None
        raise DataError(f"{folder} has questions of {subset} and no {name}; unpack the answers beside them")
    with in_form(path, "VQA's annotation format"):
        return {str(entry["question_id"]): entry for entry in read_json(path)["annotations"]}


def _question_files(folder: Path) -> dict[str, Path]:
    """Subset -> its questions."""
    files = (path for where in _places(folder) for path in sorted(where.glob("v2_OpenEnded_mscoco_*_questions.json")))
    return {named[1]: path for path in files if (named := _QUESTIONS.fullmatch(path.name))}


def _places(folder: Path) -> list[Path]:
    return [folder, *(folder / name for name in ("Questions", "Annotations", "annotations"))]
