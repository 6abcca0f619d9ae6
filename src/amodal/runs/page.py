"""What every page of ours is made of: one HTML file, light and dark, that needs no network and no script."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template


def html_page(
    *, title: str, name: str, when: str, headline: str, sections: Sequence[str], notes: Sequence[str] = ()
) -> str:
    """The page. sections: HTML; everything else is text. What is empty is left out."""
    template = Template(files("amodal.runs").joinpath("report.html.template").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        name=escape(name),
        when=escape(when),
        headline=escape(headline),
        sections="\n".join(section for section in sections if section),
        footer="".join(f"<p>{escape(text)}</p>" for text in notes if text),
    )


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td dir="auto">{escape(str(cell))}</td>' for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
