"""The shell of a page: what is text is escaped, what is empty is left out."""

from amodal.runs import html_page, html_table


def test_texts_are_escaped_and_sections_stand_as_they_are() -> None:
    page = html_page(title="<t>", name="a & b", when="", headline="<h>", sections=["<p>x</p>", ""], notes=["", "<n>"])
    for said in ("<title>&lt;t&gt;</title>", "a &amp; b", "&lt;h&gt;", "<p>x</p>", "<footer><p>&lt;n&gt;</p></footer>"):
        assert said in page
    assert "$" not in page


def test_a_table() -> None:
    table = html_table(("where", "why"), [("a.png", "1 < 2")])
    assert table.startswith("<table><thead><tr><th>where</th><th>why</th></tr></thead>")
    assert '<td dir="auto">1 &lt; 2</td>' in table
