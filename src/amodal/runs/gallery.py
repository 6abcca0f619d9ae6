"""The pictures of a report: thumbnails inside the page, and retrievals with a mark for right and wrong."""

import base64
import io
from collections.abc import Callable
from html import escape

from PIL import Image, features

from amodal.core.errors import AmodalError
from amodal.runs.retrievals import Examples, Hit, Retrieval, best_and_worst

THUMBNAIL = 96
"""Longest side of a thumbnail in pixels; a report must stay small enough to send around."""

CAPTION_LIMIT = 200


def data_uri(content: bytes, kind: str) -> str:
    """`content` as an address that carries it, for a page that needs no file beside it."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def thumbnail(picture: Image.Image) -> str:
    """A picture as a data URI, at most `THUMBNAIL` pixels a side, on white where it is transparent."""
    small = picture.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    small = small.convert("RGBA")
    ground = Image.new("RGBA", small.size, "white")
    flat = Image.alpha_composite(ground, small).convert("RGB")
    kind, stream = ("webp" if features.check("webp") else "jpeg"), io.BytesIO()
    flat.save(stream, kind, quality=82)
    return data_uri(stream.getvalue(), kind)


class Thumbnails:
    """`<img>` tags of pictures by number, each decoded once; one that cannot be decoded gives an empty frame."""

    def __init__(self, picture: Callable[[int], Image.Image]) -> None:
        self._picture, self._made = picture, dict[int, str]()

    def tag(self, index: int, alt: str) -> str:
        """The tag of picture `index`; `alt` says what it shows."""
        if index not in self._made:
            try:
                self._made[index] = thumbnail(self._picture(index))
            except (AmodalError, OSError):
                self._made[index] = ""
        source = self._made[index]
        if not source:
            return '<span class="thumb" role="img" aria-label="picture that cannot be read"></span>'
        return f'<img class="thumb" src="{source}" alt="{escape(alt)}" loading="lazy">'


def retrieval_sections(examples: Examples) -> str:
    """Both directions, the best and the worst of each, as HTML."""
    made = Thumbnails(examples.picture)
    image, text = examples.image_features, examples.text_features
    image_group, text_group = examples.image_groups, examples.text_groups
    best, worst = best_and_worst(image, text, image_group, text_group, k=3)
    parts = ["<h2>From a picture to its caption</h2>"]
    parts.append('<p class="note">In bold the caption that belongs to the picture; below it the three found first.</p>')
    for title, chosen in (("Best", best), ("Worst", worst)):
        parts.append(_group(title, [_image_query(each, examples, made) for each in chosen]))
    best, worst = best_and_worst(text, image, text_group, image_group, k=4)
    parts.append("<h2>From a caption to its picture</h2>")
    parts.append('<p class="note">The four pictures found first. The number is the cosine.</p>')
    for title, chosen in (("Best", best), ("Worst", worst)):
        parts.append(_group(title, [_text_query(each, examples, made) for each in chosen]))
    return "\n".join(parts)


def shown_caption(caption: str) -> str:
    """A caption as HTML text, cut where it would fill the page."""
    caption = " ".join(caption.split())
    return escape(caption if len(caption) <= CAPTION_LIMIT else caption[: CAPTION_LIMIT - 1].rstrip() + "…")


def _group(title: str, cards: list[str]) -> str:
    return f'<h3>{title}</h3>\n<div class="grid">{"".join(cards)}</div>' if cards else ""


def _image_query(found: Retrieval, examples: Examples, made: Thumbnails) -> str:
    true = examples.captions[found.truth]
    hits = "".join(
        f'<li>{_mark(hit)}<span class="says" dir="auto">{shown_caption(examples.captions[hit.index])}</span>'
        f'<span class="score">{hit.score:.2f}</span></li>'
        for hit in found.hits
    )
    return (
        f'<article class="card shot">{made.tag(found.query, true)}<div class="body">'
        f'<p class="query" dir="auto">{shown_caption(true)}</p>'
        f'<ol class="hits">{hits}</ol>{_place(found)}</div></article>'
    )


def _text_query(found: Retrieval, examples: Examples, made: Thumbnails) -> str:
    hits = "".join(
        f'<div class="{_side(hit)}">{made.tag(hit.index, f"picture {place} found")}'
        f'<div class="under">{_mark(hit)}<span class="score">{hit.score:.2f}</span></div></div>'
        for place, hit in enumerate(found.hits, start=1)
    )
    return (
        f'<article class="card"><p class="query" dir="auto">{shown_caption(examples.captions[found.query])}</p>'
        f'<div class="strip">{hits}</div>{_place(found)}</article>'
    )


def _place(found: Retrieval) -> str:
    """Where the right one stands, when it is not among those shown."""
    if any(hit.right for hit in found.hits):
        return ""
    return f'<p class="place">the right one is number {found.rank + 1:,}</p>'


def _side(hit: Hit) -> str:
    return "right" if hit.right else "wrong"


def _mark(hit: Hit) -> str:
    side, sign = _side(hit), "✓" if hit.right else "✗"
    return f'<span class="mark {side}" role="img" aria-label="{side}">{sign}</span>'
