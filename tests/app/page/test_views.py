"""A picture's own page, labelling, runs and indexing; and what the page says where something is missing."""

from collections.abc import Callable
from typing import Any

from PIL import Image

from tests.app.page.driving import WAIT, box, content_of, first_is, shows, tiles


def test_picture_has_its_own_page_with_neighbours(page: Any) -> None:
    page.goto("/?q=a+cat")
    first_is(page, "cat")
    content = tiles(page).first.get_attribute("data-content")
    tiles(page).first.click()
    page.get_by_role("heading", level=1, name="animals-2.png").wait_for()
    assert f"view=picture&q=a+cat&picture={content}".split("&")[2] in page.url
    page.get_by_text("cat, drawn").first.wait_for()
    assert page.get_by_text("128 × 128").count() == 1
    tiles(page).first.wait_for()
    assert content not in [each.get_attribute("data-content") for each in tiles(page).all()]
    shows(page, "document.querySelector('.shown img').src.endsWith('/file')")
    page.reload()
    page.get_by_role("heading", level=1, name="animals-2.png").wait_for()
    tiles(page).first.wait_for()
    page.get_by_role("button", name="More like this").first.click()
    shows(page, "content => location.search.includes(`like=${content}`)", content)


def test_near_duplicates_are_told(page: Any) -> None:
    def answer(route: Any) -> None:
        said = route.fetch().json()
        said["results"][0]["copies"] = ["/elsewhere/lion again.png"]
        route.fulfill(json=said)

    page.route("**/api/search", answer)
    page.goto("/?q=a+lion")
    first_is(page, "lion")
    assert page.get_by_title("and 1 near-duplicate").inner_text().startswith("+1")
    tiles(page).first.click()
    page.get_by_text("The figures are cosines").wait_for()
    assert (
        page.locator(".facts div", has_text="near-duplicates").locator("dd").inner_text() == "/elsewhere/lion again.png"
    )


def test_map_of_what_matched(page: Any) -> None:
    page.goto(f"/?view=picture&picture={content_of(page, 'lion')}")
    sentence = page.get_by_label("A sentence to find in the picture")
    sentence.fill("a lion left of a dog")
    page.get_by_role("button", name="Find").click()
    words = page.get_by_role("toolbar", name="Words").get_by_role("button")
    words.first.wait_for()
    assert words.all_inner_texts() == ["a", "lion", "left", "of", "a", "dog"]
    assert page.get_by_text("The sentence fits:").count() == 1
    pixels = "Array.from(document.querySelector('.heat').getContext('2d').getImageData(0, 0, 8, 8).data).join()"
    drawn = {}
    for place, word in ((1, "lion"), (5, "dog")):
        words.nth(place).click()
        shows(page, "word => document.querySelector('[aria-pressed=true]').innerText === word", word)
        drawn[word] = page.evaluate(pixels)
    assert drawn["lion"] != drawn["dog"]
    assert "see=a+lion+left+of+a+dog" in page.url


def test_upload_is_labelled_with_labels_of_ones_own(page: Any, shown: Any) -> None:
    page.goto("/?view=label")
    page.get_by_label("Your labels").fill("a cat, a bicycle\na pizza")
    page.set_input_files("input[type=file]", [shown.pictures / "animals-2.png", shown.pictures / "travel-1.png"])
    page.locator(".bars").nth(1).wait_for()
    first = page.locator(".bars li:first-child span:first-child").all_inner_texts()
    assert first == ["a cat", "a bicycle"]
    shows(page, "location.search.includes('label=a+pizza')")
    page.get_by_label("Your labels").fill("a cat, a bicycle, a lion, a fox")
    shows(page, "document.querySelectorAll('.bars li').length === 8")
    page.get_by_role("button", name="Remove travel-1.png").click()
    shows(page, "document.querySelectorAll('.answer').length === 1")


def test_more_pictures_than_a_request_may_have_are_labelled_in_turn(page: Any, shown: Any) -> None:
    with_status(page, lambda said: said["limits"].update(pictures=2))
    asked: list[int] = []
    page.on(
        "request",
        lambda request: asked.append(len(request.post_data_json["pictures"])) if "classify" in request.url else None,
    )
    page.goto("/?view=label&label=a+cat&label=a+bicycle")
    page.set_input_files("input[type=file]", [shown.pictures / f"animals-{number}.png" for number in range(5)])
    page.locator(".bars").nth(4).wait_for()
    assert asked == [2, 2, 1]
    page.set_input_files("input[type=file]", shown.pictures / "travel-1.png")
    page.locator(".bars").nth(5).wait_for()
    assert asked == [2, 2, 1, 1]


def test_labels_that_are_written_are_those_of_the_address(page: Any) -> None:
    page.goto("/?view=label&label=a+cat&label=a+dog")
    written = page.get_by_label("Your labels")
    assert written.input_value() == "a cat, a dog"
    page.get_by_role("link", name="Index").click()
    page.go_back()
    written.fill("a cat;  a fox\n")
    shows(page, "location.search.includes('label=a+fox')")
    assert written.input_value() == "a cat;  a fox\n"
    page.go_back()
    shows(page, "document.querySelector('textarea').value === 'a cat, a dog'")


def test_runs_with_their_reports(page: Any) -> None:
    page.goto("/?view=runs")
    page.get_by_role("heading", name="reader").wait_for()
    assert page.locator(".run tbody tr").count() > 0
    report = page.get_by_role("link", name="Report of reader")
    answer = page.request.get(report.get_attribute("href"))
    assert answer.ok
    assert "<html" in answer.text()


def test_figures_of_runs_are_told_in_words_and_per_cent_the_gain_among_the_first(page: Any) -> None:
    def figure(value: float) -> dict[str, Any]:
        return {"value": value, "low": value / 2, "high": 1.0, "chance": None, "n": 9}

    names = [f"{way}/{name}" for way in ("image_to_text", "text_to_image") for name in ("R@1", "R@5", "R@10")]
    figures = {name: figure(0.5) for name in [*names, *(f"gain/{name}" for name in names)]}
    run = {"name": "mine", "recipe": "retrieval", "figures": {"figures": figures}, "report": None}
    run["figures"]["figures"]["image_to_text/median_rank"] = figure(12)
    page.route("**/api/runs", lambda route: route.fulfill(json={"runs": [run]}))
    page.goto("/?view=runs")
    rows = page.locator(".run > .scroll tbody tr")
    rows.first.wait_for()
    assert rows.locator("th").all_inner_texts() == [
        "gain, image → text, R@1",
        "image → text, R@1",
        "gain, text → image, R@1",
        "text → image, R@1",
        "image → text, R@5",
        "text → image, R@5",
    ]
    assert rows.first.locator("td").all_inner_texts() == ["50.0\u202f%", "25.0 to 100.0\u202f%", ""]
    page.get_by_text("All 13 figures").click()
    rank = page.get_by_role("row", name="median rank")
    assert rank.locator("td").all_inner_texts() == ["12", "6 to 1", ""]


def test_indexing_shows_progress_and_then_the_new_picture(page: Any, shown: Any) -> None:
    with (shown.pictures / "pairs.csv").open("a", newline="") as stream:
        stream.write("new.png,a violet square,shapes,0\r\n")
    Image.new("RGB", (64, 48), (120, 40, 200)).save(shown.pictures / "new.png")
    page.goto("/?view=index")
    page.get_by_role("button", name="Bring it up to date").click()
    page.get_by_role("progressbar", name="Indexing").wait_for()
    assert page.get_by_role("button", name="Bring it up to date").is_disabled()
    page.get_by_text(f"Up to date: {shown.count + 1} pictures, 1 added").wait_for(timeout=6 * WAIT)
    page.get_by_role("heading", level=1, name=f"{shown.count + 1} pictures").wait_for()
    page.get_by_role("link", name="Search").click()
    box(page).fill("a violet square")
    first_is(page, "a violet square")


def test_time_left_is_told_once(page: Any) -> None:
    said = '{"said": "32 pictures to read: 2/s, about 9 s left", "done": 8, "total": 32, "rate": 2.0, "left": 11.5}'
    events = f"event: progress\ndata: {said}\n\n"
    page.route("**/api/index", lambda route: route.fulfill(status=202, json={"updating": True}))
    page.route("**/api/index/progress", lambda route: route.fulfill(content_type="text/event-stream", body=events))
    page.goto("/?view=index")
    page.get_by_role("button", name="Bring it up to date").click()
    told = page.locator(".progress p")
    told.get_by_text("8 of 32").wait_for()
    assert told.inner_text() == "Indexing 8 of 32 · 2.0 a second · 12 s left"


def with_status(page: Any, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes what the service says of itself, on its way to the page."""

    def answer(route: Any) -> None:
        said = route.fetch().json()
        change(said)
        route.fulfill(json=said)

    page.route("**/api/status", answer)


def test_without_an_index_it_says_how_to_make_one(page: Any) -> None:
    with_status(page, lambda said: said.update(index=None))
    page.goto("/")
    page.get_by_text("amodal index FOLDER --out INDEX").wait_for()
    page.get_by_role("link", name="label a picture").click()
    page.get_by_role("heading", name="Label pictures").wait_for()


def test_without_calibration_it_says_that_scores_are_cosines(page: Any) -> None:
    with_status(page, lambda said: said["model"]["calibrated"].update(words=False, labels=False))
    page.goto("/?q=a+lion")
    page.get_by_text("scores are cosines: this model is not calibrated").wait_for()
    assert page.get_by_role("slider", name="Least cosine").count() == 1


def test_service_that_warms_up_or_is_gone_is_told(page: Any) -> None:
    warming = {"error": {"message": "the model is being opened", "field": None}}
    page.route("**/api/status", lambda route: route.fulfill(status=503, json=warming))
    page.goto("/?q=a+lion")
    page.get_by_text("The model is being opened").wait_for()
    page.unroute("**/api/status")
    first_is(page, "lion")
    page.route("**/api/search", lambda route: route.abort())
    box(page).fill("a rocket")
    page.get_by_text("The service does not answer").wait_for()
    page.unroute("**/api/search")
    page.get_by_role("button", name="Try again").click()
    first_is(page, "rocket")
