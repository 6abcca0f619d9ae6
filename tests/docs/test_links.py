"""Relative links of the Markdown pages lead to files that exist, and to headings that stand in them."""

import re
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

LINK = re.compile(
    r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|<(?:img|a|source)\b[^>]*?(?:src|href|srcset)=\"([^\"]+)\""
)
FENCED = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def links_of(text: str) -> list[str]:
    """The targets of a page's links and pictures that point into the repository; code is not looked at."""
    plain = re.sub(r"`[^`\n]*`", "", FENCED.sub("", text))
    targets = [first or second for first, second in LINK.findall(plain)]
    return [target for target in targets if not ELSEWHERE.match(target)]


def anchors_of(text: str) -> set[str]:
    """The anchors that a page's headings get."""
    headings = re.findall(r"^#{1,6} +(.*?)#* *$", FENCED.sub("", text), re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()).strip() for heading in headings]
    return {word.replace(" ", "-") for word in words}


def broken_links(pages: list[Path]) -> tuple[int, list[str]]:
    """How many relative links were looked at, and `page -> target` of each that leads nowhere."""
    seen, broken = 0, []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for target in links_of(text):
            seen += 1
            path, _, anchor = urllib.parse.unquote(target).partition("#")
            goal = (page.parent / path) if path else page
            if not goal.exists():
                broken.append(f"{page.name} -> {target}")
            elif anchor and goal.suffix == ".md" and anchor not in anchors_of(goal.read_text(encoding="utf-8")):
                broken.append(f"{page.name} -> {target} (no such heading)")
    return seen, broken


def test_links_lead_somewhere() -> None:
    seen, broken = broken_links(PAGES)
    assert seen >= 10, f"only {seen} links were seen: the reader of the pages is broken"
    assert not broken


def test_broken_links_are_caught(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A heading, with `code`\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Top\n[a](there.md) [b](there.md#a-heading-with-code) [c](#top) [d](https://example.org/x) ![e](gone.png)\n"
        "[f](there.md#other) [g](gone.md 'title') <img src=\"gone.svg\"> `[h](code.md)`\n"
        '```\n[i](fenced.md)\n```\n[j](gone2.md "title")\n'
    )
    _, broken = broken_links([page])
    gone = ["gone.png", "there.md#other (no such heading)", "gone.svg", "gone2.md"]
    assert broken == [f"page.md -> {target}" for target in gone]
