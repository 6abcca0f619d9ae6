"""Flickr30k Entities, from a small copy in its exact layout."""

from collections.abc import Callable
from pathlib import Path

import pytest

from amodal.data.annotations import Instance, Link
from amodal.data.published import published_reader, read_entities
from amodal.data.sources import open_table

Put = Callable[..., None]
OBJECT = """\t<object>
{names}
\t\t<bndbox>
\t\t\t<xmin>{0}</xmin>
\t\t\t<ymin>{1}</ymin>
\t\t\t<xmax>{2}</xmax>
\t\t\t<ymax>{3}</ymax>
\t\t</bndbox>
\t</object>"""
UNBOXED = "\t<object>\n\t\t<name>{0}</name>\n\t\t<scene>{1}</scene>\n\t\t<nobndbox>{2}</nobndbox>\n\t</object>"
SAID = [
    "[/EN#283/people Two young guys] with [/EN#284/bodyparts shaggy hair] look at [/EN#0/notvisual it] "
    "in [/EN#9/scene the yard] .",
    "[/EN#283/people/other Two friends] enjoy [/EN#12/other time] .",
]


def annotation(objects: list[str]) -> str:
    size = "\t<size>\n\t\t<width>333</width>\n\t\t<height>500</height>\n\t\t<depth>3</depth>\n\t</size>"
    head = f"<annotation>\n\t<filename>1000.jpg</filename>\n{size}\n\t<segmented>0</segmented>\n"
    return head + "\n".join(objects) + "\n</annotation>\n"


def boxed(box: tuple[int, int, int, int], *chains: int) -> str:
    return OBJECT.format(*box, names="\n".join(f"\t\t<name>{chain}</name>" for chain in chains))


@pytest.fixture
def entities(tmp_path: Path, put: Put) -> Path:
    put(tmp_path / "flickr30k-images" / "1000.jpg")
    put(tmp_path / "flickr30k-images" / "2000.jpg")
    for name in ("Sentences", "Annotations"):
        (tmp_path / name).mkdir()
    (tmp_path / "Sentences" / "1000.txt").write_text("\n".join(SAID) + "\n")
    (tmp_path / "Sentences" / "2000.txt").write_text("A [/EN#5/animals dog] .\n")
    objects = [boxed((1, 11, 50, 100), 283), boxed((60, 11, 90, 100), 283, 284)]
    objects += [UNBOXED.format(9, 1, 0), UNBOXED.format(12, 0, 1)]
    (tmp_path / "Annotations" / "1000.xml").write_text(annotation(objects))
    (tmp_path / "Annotations" / "2000.xml").write_text(annotation([boxed((1, 1, 1, 1), 5)]))
    (tmp_path / "train.txt").write_text("1000\n")
    (tmp_path / "test.txt").write_text("2000\n")
    return tmp_path


def test_phrases_chains_and_boxes(entities: Path) -> None:
    assert published_reader(entities) is read_entities
    [row] = open_table(entities, annotated=True).split("train").rows
    assert row.captions == ("Two young guys with shaggy hair look at it in the yard .", "Two friends enjoy time .")
    assert row.attributes == {"image_id": "1000", "split": "train"}
    known = row.annotations
    assert known is not None
    assert known.things == (Instance("people/other", (0, 10, 50, 100)), Instance("people/other", (59, 10, 90, 100)))
    first, second = known.captions
    assert first.phrases == (
        Link(0, 14, "phrase", (0, 1), "283", "people"),
        Link(20, 31, "phrase", (1,), "284", "bodyparts"),
        Link(40, 42, "not visual", (), "0", "notvisual"),
        Link(46, 54, "scene", (), "9", "scene"),
    )
    assert [first.text[link.start : link.end] for link in first.phrases] == [
        "Two young guys",
        "shaggy hair",
        "it",
        "the yard",
    ]
    assert [(link.role, link.chain) for link in second.phrases] == [("phrase", "283"), ("no box", "12")]


def test_captions_alone_need_no_boxes(entities: Path) -> None:
    (entities / "Annotations" / "2000.xml").write_text("broken")
    table = open_table(entities)
    assert table.split("test").rows[0].captions == ("A dog .",)
    assert not table.skipped
    assert all(row.annotations is None for row in table.rows)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<annotation>", "malformed annotation: no element found"),
        (annotation([boxed((5, 5, 3, 9), 5)]), "empty box: 4, 4, -1 wide and 5 high"),
        (annotation([boxed((1, 1, 2, 2), 5)]).replace("<xmin>1", "<xmin>one"), "malformed annotation: invalid literal"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "it declares a document type"),
    ],
)
def test_bad_boxes_are_skipped_and_named(entities: Path, content: str, reason: str) -> None:
    (entities / "Annotations" / "2000.xml").write_text(content)
    table = read_entities(entities, annotated=True, max_skipped=0.5)
    assert [row.attributes["image_id"] for row in table.rows] == ["1000"]
    [entry] = table.skipped.entries
    assert entry.key == "Annotations/2000.xml"
    assert reason in entry.reason


def test_missing_boxes_and_bad_sentences(entities: Path) -> None:
    (entities / "Annotations" / "2000.xml").unlink()
    (entities / "Sentences" / "1000.txt").write_text(f"{SAID[1]}\n[/EN#1/people A man stands .\nA man] stands .\n")
    table = read_entities(entities, annotated=True, max_skipped=1)
    assert table.rows[0].captions == ("Two friends enjoy time .",)
    assert [entry.key for entry in table.skipped.entries] == [
        "Sentences/1000.txt:2",
        "Sentences/1000.txt:3",
        "Annotations/2000.xml",
    ]
