"""What the tests of the page do again and again."""

import base64
from typing import Any

WAIT = 30_000  # milliseconds until a test gives up: machines that test are busy

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


def tiles(page: Any) -> Any:
    return page.locator(".grid a[data-content]")


def names(page: Any) -> list[str]:
    """What stands below the pictures that are shown."""
    return page.locator(".grid .name").all_inner_texts()


def box(page: Any) -> Any:
    return page.get_by_role("searchbox", name="Words that the pictures should show")


def shows(page: Any, state: str, argument: Any = None) -> None:
    """Waits until a JavaScript expression, or a function of the argument, is true. (The page's Content-Security-Policy
    refuses to evaluate a bare expression again and again, a function it does not.)"""
    page.wait_for_function(f"() => {state}" if argument is None else state, arg=argument)


def first_is(page: Any, name: str) -> None:
    shows(page, "name => document.querySelector('.grid .name')?.innerText.startsWith(name)", name)


def give(page: Any, kind: str, shown: Any, name: str) -> None:
    data = base64.b64encode((shown.pictures / name).read_bytes()).decode()
    page.evaluate(GIVE, [kind, name, data])


def content_of(page: Any, words: str) -> str:
    """The content of the picture that the words find first."""
    answer = page.request.post("/api/search", data={"terms": [{"words": words}], "top": 1})
    return answer.json()["results"][0]["content"]
