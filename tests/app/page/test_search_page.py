"""Searching on the page: words, pictures, what is taken away, filters, the cut, and the address."""

import json
import re
from contextlib import suppress
from typing import Any

import pytest

from tests.app.page.driving import box, content_of, first_is, give, names, shows, tiles

NONSENSE = "xqzv wrblt"


def test_typing_gives_results_with_probability(page: Any, shown: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    assert page.evaluate("document.activeElement.id") == "box"
    assert len(names(page)) == shown.count
    sort = page.get_by_label("Sort")
    assert (sort.input_value(), sort.is_disabled()) == ("date", True)
    box(page).press_sequentially("a lion")
    first_is(page, "lion, drawn")
    assert re.fullmatch(r"[<>]?\d+\u202f% likely", page.locator(".tile .chance").first.text_content())
    assert page.locator(".tile").first.locator("text=by name").count() == 1
    shows(page, "document.querySelector('[aria-live=polite]').innerText.includes('picture')")
    assert page.title() == "a lion · amodal"
    assert (sort.input_value(), sort.is_disabled()) == ("score", False)
    ratio = page.locator(".tile img").first.evaluate("image => image.clientWidth / image.clientHeight")
    assert ratio == pytest.approx(1, abs=0.02)


def test_weak_results_are_folded_behind_one_button(page: Any, shown: Any) -> None:
    page.goto("/?q=a+lion")
    first_is(page, "lion")
    good = len(names(page))
    more = page.get_by_role("button", name="Show weaker results")
    assert good < shown.count
    assert more.inner_text() == f"Show weaker results ({shown.count - good})"
    more.click()
    assert len(names(page)) == shown.count
    assert page.evaluate("document.activeElement.closest('.tile') !== null")


def test_pictures_pass_beneath_all_of_the_search_bar(page: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    page.mouse.move(400, 600)
    page.mouse.wheel(0, 300)
    shows(page, "scrollY > 200")
    bar, grid = page.locator(".ask").bounding_box(), page.locator(".grid").bounding_box()
    assert bar["y"] == 0
    assert bar["x"] == 0
    assert bar["width"] >= grid["x"] + grid["width"]


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
def test_picture_is_searched_with_and_does_not_outlive_its_tab(page: Any, shown: Any, kind: str) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    give(page, kind, shown, "animals-3.png")
    first_is(page, "dog, drawn")
    assert page.locator(".chip img").get_attribute("alt") == "animals-3.png"
    assert "scores are cosines" in page.locator(".said").inner_text()
    assert "like" not in page.url
    page.reload()
    lost = page.get_by_text("An uploaded picture lives only as long as its tab")
    lost.wait_for()
    assert page.locator(".chip").count() == 0
    page.get_by_role("link", name="Label").click()
    page.get_by_role("heading", name="Label pictures").wait_for()
    assert lost.count() == 0
    page.go_back()
    lost.wait_for()
    give(page, kind, shown, "travel-0.png")
    first_is(page, "rocket, drawn")
    assert lost.count() == 0
    page.go_back()
    lost.wait_for()
    assert page.locator(".chip").count() == 0, "what was dropped later stands for what is gone"


def test_what_is_no_picture_is_told(page: Any, shown: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    page.set_input_files("input[type=file]", {"name": "fake.png", "mimeType": "image/png", "buffer": b"no picture"})
    told = page.locator(".notice", has_text="fake.png")
    told.wait_for()
    assert "this is text, not a picture" in told.inner_text()
    assert page.locator(".chip").count() == 0


def test_a_picture_is_sent_once(page: Any, shown: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    give(page, "drop", shown, "animals-3.png")
    first_is(page, "dog, drawn")
    with page.expect_response(lambda answer: '"cat"' in (answer.request.post_data or "")):
        box(page).press_sequentially("cat")
    assert sum('"data"' in each for each in sent) == 1


def test_words_are_taken_away_and_given_back(page: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    with page.expect_response(lambda answer: '"banana"' in (answer.request.post_data or "")) as answered:
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


def test_minus_without_a_word_asks_nothing(page: Any, shown: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data) if "search" in request.url else None)
    for _ in range(2):
        page.get_by_role("button", name="Take words away").click()
        assert box(page).input_value() == "-"
    page.wait_for_timeout(200)
    assert not asked
    with page.expect_request("**/api/search"):
        page.keyboard.type("banana")
    assert json.loads(asked[-1])["terms"][0]["weight"] == -1


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


def test_filter_finds_a_word_within_any_caption_and_that_nothing_passes_is_said_once(page: Any) -> None:
    page.goto("/?q=a+lion")
    first_is(page, "lion")
    page.get_by_role("button", name="Filter").click()
    page.get_by_label("Attribute").select_option("captions")
    page.get_by_label("Value").fill("ION, Dr")
    page.get_by_role("button", name="Add filter").click()
    shows(page, "document.querySelector('.said span').innerText === '1 picture'")
    page.get_by_label("Value").fill("it's none")
    page.get_by_role("button", name="Add filter").click()
    page.get_by_text("Nothing passes.").wait_for()
    assert page.locator("main > p").all_inner_texts() == ["Nothing passes. Remove a filter."]


def test_slider_cuts_by_probability_for_words_and_by_cosine_for_pictures(page: Any, shown: Any) -> None:
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
    shows(page, "location.search.includes('at=0.9')")


def test_no_good_match_is_said_and_the_nearest_are_one_button_away(page: Any, shown: Any) -> None:
    page.goto(f"/?q={NONSENSE}")
    page.get_by_text("No good match", exact=True).wait_for()
    assert tiles(page).count() == 0
    (said,) = page.locator("main > p").all_inner_texts()
    assert said.startswith(f"No good match for “{NONSENSE}” among {shown.count} pictures.")
    page.get_by_role("button", name="Show the nearest anyway").click()
    assert tiles(page).count() == shown.count


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
