"""The page in a real Chromium, over a real service: what a person does, by mouse, by keyboard and by address."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from PIL import Image

WAIT = 30_000  # milliseconds until a test gives up: machines that test are busy
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "wide": (1920, 1080)}
VIEWS = ("search", "picture", "label", "runs", "index")
NONSENSE = "xqzv wrblt"

# Hands a file to the page as a person does who drops or pastes it.
GIVE = """([kind, name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true })
    : new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


@pytest.fixture
def page(browser: Any, served: Any) -> Iterator[Any]:
    """The page at the size of a laptop. What the console says against it fails the test, a refusal by the
    Content-Security-Policy among it."""
    opened = browser.new_page(viewport={"width": 1280, "height": 800}, base_url=served.address)
    opened.set_default_timeout(WAIT)
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: said.append(str(error)))
    yield opened
    opened.close()
    wrong = [line for line in said if "Failed to load resource" not in line]
    assert not wrong, wrong


def tiles(page: Any) -> Any:
    return page.locator(".grid a[data-content]")


def names(page: Any) -> list[str]:
    """What stands below the pictures that are shown."""
    return page.locator(".grid .name").all_inner_texts()


def box(page: Any) -> Any:
    return page.get_by_role("searchbox", name="Words that the pictures should show")


def shows(page: Any, state: str, argument: Any = None) -> None:
    """Waits until a JavaScript expression is true."""
    page.wait_for_function(state, arg=argument)


def first_is(page: Any, name: str) -> None:
    shows(page, "name => document.querySelector('.grid .name')?.innerText.startsWith(name)", name)


def give(page: Any, kind: str, served: Any, name: str) -> None:
    data = base64.b64encode((served.pictures / name).read_bytes()).decode()
    page.evaluate(GIVE, [kind, name, data])


def content_of(page: Any, words: str) -> str:
    """The content of the picture that the words find first."""
    answer = page.request.post("/api/search", data={"terms": [{"words": words}], "top": 1})
    return answer.json()["results"][0]["content"]


def address_of(page: Any, view: str) -> str:
    """An address of each view with something in it."""
    if view == "picture":
        return f"/?view=picture&picture={content_of(page, 'lion')}"
    return {"search": "/?q=a+cat", "label": "/?view=label&label=a+cat&label=a+dog"}.get(view, f"/?view={view}")


def settled(page: Any, view: str) -> None:
    """Waits until a view shows what it is for."""
    wanted = {"label": "textarea", "runs": ".run table", "index": ".facts dd"}.get(view, ".grid a[data-content]")
    page.locator(wanted).first.wait_for()


def test_typing_gives_results_with_probability(page: Any, served: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    assert page.evaluate("document.activeElement.id") == "box"
    assert len(names(page)) == served.count
    box(page).press_sequentially("a lion")
    first_is(page, "lion, drawn")
    assert re.fullmatch(r"[<>]?\d+\u202f% likely", page.locator(".tile .chance").first.text_content())
    assert page.locator(".tile").first.locator("text=by name").count() == 1
    shows(page, "document.querySelector('[aria-live=polite]').innerText.includes('picture')")
    assert page.title() == "a lion · amodal"
    ratio = page.locator(".tile img").first.evaluate("image => image.clientWidth / image.clientHeight")
    assert ratio == pytest.approx(1, abs=0.02)


def test_weak_results_are_folded_behind_one_button(page: Any, served: Any) -> None:
    page.goto("/?q=a+lion")
    first_is(page, "lion")
    good = len(names(page))
    more = page.get_by_role("button", name="Show weaker results")
    assert good < served.count
    assert more.inner_text() == f"Show weaker results ({served.count - good})"
    more.click()
    assert len(names(page)) == served.count
    assert page.evaluate("document.activeElement.closest('.tile') !== null")


def test_latest_query_wins_though_an_older_answer_comes_later(page: Any) -> None:
    page.add_init_script("AbortController.prototype.abort = () => {}")  # so that the old answer does arrive
    held: list[Any] = []

    def hold(route: Any) -> None:
        old = json.loads(route.request.post_data)["terms"] == [{"words": "a tiger", "weight": 1}]
        held.append(route) if old else route.continue_()

    page.route("**/api/search", hold)
    page.goto("/")
    tiles(page).first.wait_for()
    box(page).fill("a tiger")
    while not held:
        page.wait_for_timeout(20)
    box(page).fill("a rocket")
    first_is(page, "rocket")
    with page.expect_response("**/api/search") as answered, suppress(Exception):
        held[0].continue_()
    assert "tiger" in answered.value.request.post_data
    page.wait_for_timeout(200)
    assert names(page)[0].startswith("rocket")


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_picture_is_searched_with_and_does_not_outlive_its_tab(page: Any, served: Any, kind: str) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    give(page, kind, served, "animals-3.png")
    first_is(page, "dog, drawn")
    assert page.locator(".chip img").get_attribute("alt") == "animals-3.png"
    assert "scores are cosines" in page.locator(".said").inner_text()
    assert "like" not in page.url
    page.reload()
    page.get_by_text("An uploaded picture lives only as long as its tab").wait_for()
    assert page.locator(".chip").count() == 0


def test_what_is_no_picture_is_told(page: Any, served: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    page.set_input_files("input[type=file]", {"name": "fake.png", "mimeType": "image/png", "buffer": b"no picture"})
    failure = page.locator(".failure")
    failure.wait_for()
    assert "Failed" not in failure.inner_text()
    assert len(failure.inner_text()) > 20


def test_words_are_taken_away_and_given_back(page: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    with page.expect_response(lambda answer: '"weight":-1' in (answer.request.post_data or "")) as answered:
        box(page).press_sequentially("fruit -banana ")
    terms = json.loads(answered.value.request.post_data)["terms"]
    assert terms == [{"words": "fruit", "weight": 1}, {"words": "banana", "weight": -1}]
    chip = page.locator(".chip.away")
    assert chip.inner_text().split() == ["−", "banana", "×"]
    assert box(page).input_value() == "fruit "
    shows(page, "location.search.includes('without=banana')")
    page.get_by_role("button", name="banana: taken away; ask for it").click()
    shows(page, "location.search.includes('with=banana')")
    first_is(page, "banana")
    page.get_by_role("button", name="Remove banana").click()
    shows(page, "!location.search.includes('banana')")


def test_filters_by_menu_and_in_sql(page: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("Attribute").select_option("group")
    page.get_by_label("Value").fill("food")
    page.get_by_role("button", name="Add filter").click()
    shows(page, "document.querySelectorAll('.grid .tile').length === 8")
    page.get_by_label("Filter in SQL").fill("number >= 6")
    page.get_by_label("Filter in SQL").press("Enter")
    shows(page, "document.querySelectorAll('.grid .tile').length === 2")
    assert page.url.count("where=") == 2
    page.get_by_role("button", name="Remove the filter number >= 6").click()
    shows(page, "document.querySelectorAll('.grid .tile').length === 8")
    page.get_by_label("Filter in SQL").fill("colour = 'red'")
    page.get_by_role("button", name="Add SQL").click()
    page.locator(".failure").wait_for()
    assert "'colour'" in page.locator(".failure").inner_text()


def test_slider_cuts_by_probability_for_words_and_by_cosine_for_pictures(page: Any, served: Any) -> None:
    page.goto("/?q=a+lion")
    first_is(page, "lion")
    total = page.locator(".said span").first.inner_text()
    cut = page.get_by_role("slider", name="Least probability")
    cut.press("End")
    shows(page, "total => document.querySelector('.said span').innerText !== total", total)
    shows(page, "location.search.includes('chance=0.99')")
    assert cut.get_attribute("aria-valuetext") == "from 99\u202f%"
    cut.press("Home")
    shows(page, "total => document.querySelector('.said span').innerText === total", total)
    page.goto(f"/?like={content_of(page, 'a lion')}")
    first_is(page, "lion")
    page.get_by_role("slider", name="Least cosine").press("End")
    shows(page, "document.querySelectorAll('.grid .tile').length === 1")
    shows(page, "location.search.includes('at=1')")


def test_no_good_match_is_said_and_the_nearest_are_one_button_away(page: Any, served: Any) -> None:
    page.goto(f"/?q={NONSENSE}")
    page.get_by_text("No good match", exact=True).wait_for()
    assert tiles(page).count() == 0
    page.get_by_role("button", name="Show the nearest anyway").click()
    assert tiles(page).count() == served.count


def test_state_survives_reload_and_back(page: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    box(page).fill("a rocket")
    box(page).press("Enter")
    first_is(page, "rocket")
    box(page).fill("a frog")
    box(page).press("Enter")
    first_is(page, "frog")
    page.go_back()
    first_is(page, "rocket")
    assert box(page).input_value() == "a rocket"
    page.reload()
    first_is(page, "rocket")
    assert box(page).input_value() == "a rocket"
    page.get_by_role("link", name="Runs").click()
    page.locator(".run").wait_for()
    page.go_back()
    first_is(page, "rocket")


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


def test_map_of_what_matched(page: Any) -> None:
    page.goto(address_of(page, "picture"))
    sentence = page.get_by_label("A sentence to find in the picture")
    sentence.fill("a lion left of a dog")
    page.get_by_role("button", name="Find").click()
    words = page.get_by_role("toolbar", name="Words").get_by_role("button")
    words.first.wait_for()
    assert words.all_inner_texts() == ["a", "lion", "left", "of", "a", "dog"]
    assert page.get_by_text("The sentence fits:").count() == 1
    pixels = "Array.from(document.querySelector('.heat').getContext('2d').getImageData(0, 0, 8, 8).data).join()"
    words.nth(1).click()
    lion = page.evaluate(pixels)
    words.nth(5).click()
    shows(page, "document.querySelectorAll('[aria-pressed=true]')[0].innerText === 'dog'")
    shows(page, f"{pixels} !== '{lion}'")
    assert "see=a+lion+left+of+a+dog" in page.url


def test_upload_is_labelled_with_labels_of_ones_own(page: Any, served: Any) -> None:
    page.goto("/?view=label")
    page.get_by_label("Your labels").fill("a cat, a rocket\na pizza")
    page.set_input_files("input[type=file]", [served.pictures / "animals-2.png", served.pictures / "travel-0.png"])
    page.locator(".bars").nth(1).wait_for()
    first = page.locator(".bars li:first-child span:first-child").all_inner_texts()
    assert first == ["a cat", "a rocket"]
    shows(page, "location.search.includes('label=a+pizza')")
    page.get_by_label("Your labels").fill("a cat, a rocket, a lion, a fox")
    shows(page, "document.querySelectorAll('.bars li').length === 8")
    page.get_by_role("button", name="Remove travel-0.png").click()
    shows(page, "document.querySelectorAll('.answer').length === 1")


def test_runs_with_their_reports(page: Any) -> None:
    page.goto("/?view=runs")
    page.get_by_role("heading", name="reader").wait_for()
    assert page.locator(".run tbody tr").count() > 0
    report = page.get_by_role("link", name="Report of reader")
    answer = page.request.get(report.get_attribute("href"))
    assert answer.ok
    assert "<html" in answer.text()


def test_indexing_shows_progress_and_then_the_new_picture(page: Any, served: Any) -> None:
    with (served.pictures / "pairs.csv").open("a", newline="") as stream:
        stream.write("new.png,a violet square,shapes,0\r\n")
    Image.new("RGB", (64, 48), (120, 40, 200)).save(served.pictures / "new.png")
    page.goto("/?view=index")
    page.get_by_role("button", name="Bring it up to date").click()
    page.get_by_role("progressbar", name="Indexing").wait_for()
    assert page.get_by_role("button", name="Bring it up to date").is_disabled()
    page.get_by_text(f"Up to date: {served.count + 1} pictures, 1 added").wait_for(timeout=2 * WAIT)
    page.get_by_role("heading", level=1, name=f"{served.count + 1} pictures").wait_for()
    page.get_by_role("link", name="Search").click()
    box(page).fill("a violet square")
    first_is(page, "a violet square")


def test_keyboard_from_end_to_end(page: Any) -> None:
    focus = "document.activeElement.dataset.content ?? document.activeElement.id"
    page.goto("/?view=runs")
    page.locator(".run").wait_for()
    page.keyboard.press("/")
    shows(page, "document.activeElement.id === 'box'")
    page.keyboard.type("animal")
    page.keyboard.press("Enter")
    page.get_by_role("button", name=re.compile("Show")).first.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("/")
    shows(page, "document.activeElement.id === 'box'")
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    shows(page, "document.querySelectorAll('.grid .tile').length > 20")
    contents = [each.get_attribute("data-content") for each in tiles(page).all()]
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focus) == contents[0]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    below = contents.index(page.evaluate(focus))
    assert below > 2
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focus) == contents[1]
    page.keyboard.press("End")
    assert page.evaluate(focus) == contents[-1]
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1).wait_for()
    shows(page, "document.activeElement.id === 'title'")
    page.keyboard.press("ArrowLeft")
    shows(page, "content => location.search.includes(content)", contents[-2])
    page.keyboard.press("Escape")
    shows(page, "content => document.activeElement.dataset.content === content", contents[-1])
    page.keyboard.press("+")
    shows(page, "content => location.search.includes(`like=${content}`)", contents[-1])
    page.keyboard.press("Escape")
    shows(page, "document.activeElement.id === 'box'")
    page.keyboard.press("Backspace")
    shows(page, "!location.search.includes('like')")
    page.locator("body").evaluate("body => document.activeElement.blur()")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog", name="Keys").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_accessible_and_fits(browser: Any, served: Any, scheme: str) -> None:
    """axe-core finds nothing, and nothing scrolls sideways from a phone to a wide screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(color_scheme=scheme, base_url=served.address)
    page.set_default_timeout(WAIT)
    for view in VIEWS:
        page.goto(address_of(page, view))
        settled(page, view)
        if view == "search":
            page.get_by_role("button", name="Filter").click()
        for name, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{view} on a {name} scrolls"
        found = axe.run(page).response["violations"]
        assert not found, f"{view}, {scheme}: " + json.dumps(
            [(each["id"], [node["html"] for node in each["nodes"]]) for each in found], indent=1
        )
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 380) == (scheme == "light")
    page.close()


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
