"""The page by keyboard, for screen readers, in light and dark, from a phone to a wide screen."""

import json
import re
from typing import Any

import pytest

from tests.app.page.driving import WAIT, content_of, give, shows, tiles

SIZES = {"small": (320, 640), "phone": (390, 844), "tablet": (820, 1180), "wide": (1920, 1080)}
VIEWS = ("search", "picture", "label", "runs", "index")


def address_of(page: Any, view: str) -> str:
    """An address of each view with something in it."""
    if view == "picture":
        return f"/?view=picture&picture={content_of(page, 'lion')}"
    return {"search": "/?q=a+cat", "label": "/?view=label&label=a+cat&label=a+dog"}.get(view, f"/?view={view}")


def settled(page: Any, view: str) -> None:
    """Waits until a view shows what it is for."""
    wanted = {"label": "textarea", "runs": ".run table", "index": ".facts dd"}.get(view, ".grid a[data-content]")
    page.locator(wanted).first.wait_for()


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
    assert {"/", "←", "Home", "End", "Escape", "?"} <= set(page.locator("dialog kbd").all_inner_texts())
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog", name="Keys").count() == 0


def test_skip_link_leads_into_the_content_and_nowhere_else(page: Any, shown: Any) -> None:
    page.goto("/")
    tiles(page).first.wait_for()
    give(page, "drop", shown, "animals-3.png")
    page.locator(".chip").wait_for()
    address = page.url
    page.get_by_role("link", name="Skip to the content").focus()
    page.keyboard.press("Enter")
    shows(page, "document.activeElement.id === 'main'")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.chip') !== null")
    assert page.url == address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_accessible_and_fits(browser: Any, shown: Any, scheme: str) -> None:
    """axe-core finds nothing, and nothing scrolls sideways from a phone to a wide screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = browser.new_page(color_scheme=scheme, base_url=shown.address)
    page.set_default_timeout(WAIT)
    for view in VIEWS:
        page.goto(address_of(page, view))
        settled(page, view)
        if view == "search":
            page.get_by_role("button", name="Filter").click()
        for name, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{view} on a {name} scrolls"
            theme = page.get_by_role("button", name="Theme").bounding_box()
            assert theme["x"] + theme["width"] <= width, f"the header is wider than a {name}"
        found = axe.run(page).response["violations"]
        assert not found, f"{view}, {scheme}: " + json.dumps(
            [(each["id"], [node["html"] for node in each["nodes"]]) for each in found], indent=1
        )
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) > 380) == (scheme == "light")
    page.close()
