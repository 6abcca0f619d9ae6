"""Flickr30k Entities: captions whose phrases are linked to boxes."""

import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from amodal.data.annotations import Annotations, Instance, Link, Sentence
from amodal.data.masks import BadAnnotation, corner_box
from amodal.data.published.flickr import flickr_pictures
from amodal.data.rows import MAX_SKIPPED, SkipLog, Table, finished_table
from amodal.data.tables import Record, find_picture, gather, read_text

_PHRASE = re.compile(r"\[/EN#(\d+)/(\S+) ([^\[\]]*)\]")
_NOT_VISUAL = "0"


class _Boxes(NamedTuple):
    """An annotation file. boxes: each with the chains it belongs to; scene, unboxed: chains without a box."""

    boxes: list[tuple[tuple[float, float, float, float], list[str]]]
    scene: set[str]
    unboxed: set[str]


def has_entities(folder: Path) -> bool:
    """Whether Sentences/*.txt and Annotations/*.xml lie in `folder`."""
    return all(
        any((folder / name).glob(pattern)) for name, pattern in (("Sentences", "*.txt"), ("Annotations", "*.xml"))
    )


def read_entities(folder: Path, *, max_skipped: float = MAX_SKIPPED, annotated: bool = False) -> Table:
    """Flickr30k Entities (Plummer et al., 2015): Sentences/*.txt, Annotations/*.xml, and the pictures of Flickr30k.

    A row a picture; splits from train.txt, val.txt and test.txt where they lie there. annotated: also boxes as things,
    and in `captions` the phrases with their coreference chains; a phrase without a box has the role "scene", "no box"
    or "not visual". Raises DataError.
    """
    skipped = SkipLog(max_skipped)
    splits = {
        number: split
        for split in ("train", "val", "test")
        if (folder / f"{split}.txt").is_file()
        for number in read_text(folder / f"{split}.txt").split()
    }
    said: dict[str, list[Sentence]] = {}
    total = 0

    def records() -> Iterator[Record]:
        nonlocal total
        for path in sorted((folder / "Sentences").glob("*.txt")):
            lines = [line for line in read_text(path).split("\n") if line.strip()]
            total += len(lines)
            said[path.stem] = list(_sentences(path, lines, skipped))
            attributes = {"image_id": path.stem} | ({"split": splits[path.stem]} if path.stem in splits else {})
            captions = [sentence.text for sentence in said[path.stem]]
            yield Record(f"Sentences/{path.name}", f"{path.stem}.jpg", captions, attributes)

    root = flickr_pictures(folder)
    rows, _ = gather(records(), lambda name: find_picture(root, name), skipped)
    if annotated:
        found = []
        for row in rows:
            path = folder / "Annotations" / f"{row.attributes['image_id']}.xml"
            total += 1
            try:
                found.append(replace(row, annotations=_linked(_boxes(path), said[path.stem])))
            except BadAnnotation as bad:
                skipped.add(f"Annotations/{path.name}", str(bad))
        rows = found
    return finished_table(str(folder), rows, skipped, total)


def _sentences(path: Path, lines: list[str], skipped: SkipLog) -> Iterator[Sentence]:
    for number, line in enumerate(lines, start=1):
        try:
            yield _sentence(line.strip())
        except BadAnnotation as bad:
            skipped.add(f"Sentences/{path.name}:{number}", str(bad))


def _sentence(line: str) -> Sentence:
    """ "[/EN#1/people A man] sits ." with its phrases told apart; things are linked later."""
    text, phrases, end = "", [], 0
    for match in _PHRASE.finditer(line):
        chain, kind, words = match.groups()
        text += line[end : match.start()]
        phrases.append(Link(len(text), len(text) + len(words), "phrase", (), chain, kind))
        text += words
        end = match.end()
    text += line[end:]
    if "[/EN#" in text or "]" in text:
        raise BadAnnotation(f"malformed phrase: {line!r} has a bracket that is never closed or opened")
    return Sentence(text, tuple(phrases))


def _boxes(path: Path) -> _Boxes:
    """Raises BadAnnotation. Corners are published as pixels counted from one, the last one included."""
    try:
        content = path.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise BadAnnotation("malformed annotation: it declares a document type, which no published file does")
        root = ElementTree.fromstring(content)
        found = _Boxes([], set(), set())
        for each in root.iter("object"):
            chains = [name.text or "" for name in each.iter("name")]
            box = each.find("bndbox")
            if box is not None:
                left, top, right, bottom = (int(box.findtext(edge, "")) for edge in ("xmin", "ymin", "xmax", "ymax"))
                found.boxes.append((corner_box(left - 1, top - 1, right - left + 1, bottom - top + 1), chains))
            if each.findtext("scene") == "1":
                found.scene.update(chains)
            if each.findtext("nobndbox") == "1":
                found.unboxed.update(chains)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise BadAnnotation(f"malformed annotation: {error}") from error
    return found


def _linked(known: _Boxes, said: list[Sentence]) -> Annotations:
    kinds = {link.chain: link.kind for sentence in said for link in sentence.phrases}
    places: dict[str, list[int]] = defaultdict(list)
    for place, (_, chains) in enumerate(known.boxes):
        for chain in chains:
            places[chain].append(place)

    def linked(link: Link) -> Link:
        role = "phrase" if link.chain in places else "scene" if link.chain in known.scene else "no box"
        role = "not visual" if link.chain == _NOT_VISUAL else role
        return link._replace(role=role, things=tuple(places.get(link.chain, ())))

    things = tuple(
        Instance(next((kinds[chain] for chain in chains if chain in kinds), ""), box) for box, chains in known.boxes
    )
    captions = tuple(sentence._replace(phrases=tuple(map(linked, sentence.phrases))) for sentence in said)
    return Annotations(things, captions)
