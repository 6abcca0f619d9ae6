"""What the endpoints answer: the same as the objects they stand for, whoever asks at the same time."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import amodal

LABELS = ["a red circle", "a blue square", "a green triangle", "a yellow circle"]


@pytest.fixture(scope="module")
def model(tiny_run: Path) -> Any:
    return amodal.load(tiny_run, device="cpu")


def upload(path: Path) -> dict[str, str]:
    return {"data": base64.b64encode(path.read_bytes()).decode()}


def contents(served: Any) -> dict[str, str]:
    """File name -> content, of all pictures."""
    found = served.post("/api/search", {"top": 100}).json()
    return {Path(each["path"]).name: each["content"] for each in found["results"]}


def test_status_tells_model_index_and_limits(served: Any, model: Any) -> None:
    told = served.get("/api/status").json()
    assert told["model"] == {
        "name": str(model.source),
        "fingerprint": model.fingerprint,
        "width": model.width,
        "calibrated": {"words": "words" in model.calibrations, "labels": "labels" in model.calibrations},
        "languages": [],
        "grounds": False,
    }
    assert told["index"] == served.get("/api/index").json()
    assert told["index"]["pictures"] == 24
    assert told["index"]["source"] == [str(served.folder)]
    assert told["index"]["versions"][0]["pictures"] == 24
    assert {"name": "folder", "type": "text"} in told["index"]["attributes"]
    assert told["limits"]["pixels"] == 50_000_000


def test_classify_and_encode_agree_with_the_model(served: Any, model: Any) -> None:
    paths = sorted(served.folder.glob("*.png"))[:3]
    answer = served.post("/api/classify", {"pictures": [upload(path) for path in paths], "labels": LABELS})
    for told, path in zip(answer.json()["results"], paths, strict=True):
        expected = model.classify(path, LABELS)
        assert [each["label"] for each in told["labels"]] == [each["label"] for each in expected]
        for one, other in zip(told["labels"], expected, strict=True):
            assert one["cosine"] == pytest.approx(other["cosine"], abs=1e-5)
            assert one["share"] == pytest.approx(other["share"], abs=1e-4)
    told = served.post("/api/encode", {"pictures": [{"path": paths[0].name}], "texts": LABELS}).json()
    np.testing.assert_allclose(told["pictures"], model.encode_image([paths[0]]), atol=1e-5)
    np.testing.assert_allclose(told["texts"], model.encode_text(LABELS), atol=1e-5)
    told = served.post("/api/similarity", {"pictures": [{"path": str(paths[1])}], "texts": LABELS}).json()
    np.testing.assert_allclose(told["cosine"], model.similarity([paths[1]], LABELS), atol=1e-5)
    assert served.post("/api/encode", {}).json() == {"pictures": [], "texts": []}


def test_many_at_once_get_what_one_gets_alone(served: Any, model: Any, shapes: Path) -> None:
    paths = sorted(shapes.parent.glob("*-[23].png"))  # not in the index
    expected = model.encode_image(paths)

    def ask(number: int) -> Any:
        path, label = paths[number % len(paths)], f"a thing of number {number}"
        return served.post("/api/encode", {"pictures": [upload(path)], "texts": [label]}).json()

    with ThreadPoolExecutor(32) as pool:
        told = list(pool.map(ask, range(96)))
    for number, each in enumerate(told):
        np.testing.assert_allclose(each["pictures"][0], expected[number % len(paths)], atol=1e-5)
    np.testing.assert_allclose(
        [each["texts"][0] for each in told], model.encode_text([f"a thing of number {n}" for n in range(96)]), atol=1e-5
    )
    lines = served.get("/metrics").text.splitlines()
    count, items = (
        float(next(line for line in lines if line.startswith(f'amodal_batch_items_{what}{{kind="texts"}}')).split()[1])
        for what in ("count", "sum")
    )
    assert items > count  # some were computed together


def test_search_agrees_with_the_index(served: Any, gallery: Path, model: Any) -> None:
    index = model.open_index(gallery / "pictures.index")
    told = served.post("/api/search", {"terms": [{"words": "a red circle"}], "top": 5}).json()
    page = index.search("a red circle", top=5)
    assert [each["content"] for each in told["results"]] == [each.content for each in page]
    assert [each["score"] for each in told["results"]] == pytest.approx([each.score for each in page], abs=1e-3)
    assert (told["total"], told["more"], told["page"]) == (24, True, 1)
    assert told["milliseconds"] > 0
    second = served.post("/api/search", {"terms": [{"words": "a red circle"}], "top": 5, "page": 2}).json()
    assert not {each["content"] for each in told["results"]} & {each["content"] for each in second["results"]}


def test_pictures_are_asked_for_in_four_ways(served: Any) -> None:
    path = next(served.folder.glob("red-square-*.png"))
    content = contents(served)[path.name]
    for picture in (upload(path), {"path": path.name}, {"path": str(path)}, {"content": content}):
        found = served.post("/api/search", {"terms": [{"picture": picture}], "top": 1}).json()
        assert found["results"][0]["content"] == content
        assert found["results"][0]["score"] == pytest.approx(1, abs=1e-3)
    vectors = served.post("/api/encode", {"pictures": [upload(path)]}).json()["pictures"]
    found = served.post("/api/search", {"terms": [{"picture": {"vector": vectors[0]}}], "top": 1}).json()
    assert found["results"][0]["content"] == content
    for vector in (vectors[0][1:], [0.0] * len(vectors[0])):
        refused = served.post("/api/search", {"terms": [{"picture": {"vector": vector}}]})
        assert (refused.status_code, refused.json()["error"]["field"]) == (422, "terms.0.picture.vector")
    away = served.post(
        "/api/search", {"terms": [{"picture": {"content": content}}, {"words": "a red square", "weight": -1.0}]}
    )
    assert away.status_code == 200
    below = served.post("/api/search", {"where": "folder = 'below'", "top": 100}).json()
    assert 0 < below["total"] < 24
    assert {each["kept"]["folder"] for each in below["results"]} == {"below"}


def test_pictures_of_the_index_are_shown(served: Any) -> None:
    name, content = next(iter(contents(served).items()))
    told = served.get(f"/api/pictures/{content}").json()
    assert Path(told["path"]).name == name
    assert (told["width"], told["height"], told["captions"]) == (48, 48, [])
    file = served.get(f"/api/pictures/{content}/file")
    assert file.content == Path(told["path"]).read_bytes()
    assert file.headers["content-type"] == "image/png"
    assert "immutable" in file.headers["cache-control"]
    thumbnail = served.get(f"/api/pictures/{content}/thumbnail")
    assert thumbnail.content[:3] == b"\xff\xd8\xff"
    for way in ("", "/thumbnail", "/file"):
        assert served.get(f"/api/pictures/{'0' * 64}{way}").status_code == 404


def test_runs_and_their_reports(served: Any, tiny_run: Path) -> None:
    (run,) = served.get("/api/runs").json()["runs"]
    assert (run["name"], run["recipe"]) == (tiny_run.name, "tiny")
    assert run["figures"] == json.loads((tiny_run / "metrics.json").read_text())
    report = served.get(run["report"])
    assert report.content == (tiny_run / "report.html").read_bytes()
    assert "sandbox" in report.headers["content-security-policy"]
    assert served.get("/api/runs/other/report").status_code == 404


def test_without_a_reader_nothing_is_grounded_and_it_says_how(served: Any) -> None:
    answer = served.post("/api/ground", {"picture": {"path": "x.png"}, "sentence": "a cat"})
    assert answer.status_code == 409
    assert "--reader RUN" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("search", {"terms": [{"words": "a", "weight": "heavy"}]}, "terms.0.weight"),
        ("search", {"terms": [{"words": "a"}, {"words": ""}]}, "terms.1.words"),
        ("search", {"terms": [{"words": "  "}]}, "terms.0.words"),
        ("search", {"terms": [{}]}, "terms.0"),
        ("search", {"top": 0}, "top"),
        ("search", {"top": 10, "page": 101}, "page"),
        ("search", {"sort": "size"}, "sort"),
        ("search", {"colour": "red"}, "colour"),
        ("search", {"where": "colour = 'red'"}, "where"),
        ("search", {"where": "year > "}, "where"),
        ("search", {"terms": [{"picture": {"content": "0" * 64}}]}, "terms.0.picture.content"),
        ("search", {"terms": [{"picture": {"content": "0" * 63}}]}, "terms.0.picture.content"),
        ("search", {"terms": [{"words": "a"}, {"words": "a", "weight": -1}]}, "terms"),
        ("search", {"terms": [{"words": "a"}], "probability_at_least": 0.5}, "probability_at_least"),
        ("classify", {"pictures": [{"path": "x.png"}]}, "labels"),
        ("classify", {"pictures": [], "labels": ["a"]}, "pictures"),
        ("classify", {"pictures": [{"data": "no base64!"}], "labels": ["a"]}, "pictures.0.data"),
        ("classify", {"pictures": [{"data": "YWJj"}], "labels": ["a"]}, "pictures.0"),
        ("classify", {"pictures": [{"data": "YWJj", "path": "a"}], "labels": ["a"]}, "pictures.0"),
        ("encode", {"texts": ["a", 5]}, "texts.1"),
        ("encode", [], None),
    ],
)
def test_errors_name_the_field(served: Any, path: str, body: Any, field: str | None) -> None:
    answer = served.post(f"/api/{path}", body)
    assert 400 <= answer.status_code < 500, answer.text
    error = answer.json()["error"]
    assert error["field"] == field
    assert error["message"]


def test_labels_that_are_the_same_are_refused(served: Any) -> None:
    path = next(served.folder.glob("*.png")).name
    answer = served.post("/api/classify", {"pictures": [{"path": path}], "labels": ["a", "a "]})
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "labels")


def test_unknown_ways_are_told_as_json(served: Any) -> None:
    for answer, status in ((served.get("/api/other"), 404), (served.get("/api/search"), 405)):
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


def test_openapi_needs_no_network(served: Any) -> None:
    said = served.get("/openapi.json").json()
    assert {"/api/search", "/api/classify", "/health", "/metrics"} <= said["paths"].keys()
    assert served.get("/docs").status_code == 404
