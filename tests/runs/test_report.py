"""The report: nothing from outside, nothing unescaped, everything that was given is told."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from amodal.metrics import Figure
from amodal.runs.card import RunCard
from amodal.runs.findings import Finding
from amodal.runs.folder import RunFolder
from amodal.runs.report import Confusion, write_report
from amodal.runs.retrievals import Examples

EVIL = "<script>alert('x')</script> & \"q\" $name"
FIGURES = {
    "image_to_text/R@1": Figure(value=0.5, low=0.4, high=0.6, chance=0.025, n=40, candidates=40),
    "image_to_text/median_rank": Figure(value=2.0, low=1.0, high=3.0, chance=None, n=40),
}
CARD = RunCard(
    name=f"run {EVIL}",
    command=f"amodal train small --set name='{EVIL}'",
    created="2026-03-14T09:26:53+00:00",
    data="pets",
    data_fingerprint="abc",
    splits={"train": 1200},
    seeds={"run": 3},
    versions={"amodal": "0.1.0"},
    towers={"image": "f00"},
    trainable_parameters=10,
    total_parameters=40,
)
HISTORY = [
    {"step": s, "epoch": s, "loss": 3 / s, "bound": 3 - 3 / s, "logit_scale": 2.0, "learning_rate": 1e-3 / s}
    | {"validation/image_to_text/R@1": s / 20}
    for s in range(1, 8)
]
ATTRIBUTION = "Pictures: someone, CC-BY 4.0 (https://example.org/by/4.0/)"
TEXT_ONLY = {"meta", "br", "img", "source"}


class Page(HTMLParser):
    """Tags in order, their addresses, and the text outside style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.alts: list[str] = []
        self.text, self.open = "", list[str]()
        self.feed(html)
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action", "poster", "background"):
                self.addresses.append(value or "")
            if name == "alt":
                self.alts.append(value or "")
        if tag not in TEXT_ONLY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def examples(count: int = 40) -> Examples:
    random = np.random.default_rng(0)
    base = random.normal(size=(count, 8))
    image, text = (base + random.normal(size=base.shape) * 0.5 for _ in range(2))
    noise = random.integers(0, 255, size=(count, 200, 200, 3), dtype=np.uint8)
    return Examples(
        image_features=image / np.linalg.norm(image, axis=1, keepdims=True),
        text_features=text / np.linalg.norm(text, axis=1, keepdims=True),
        image_groups=np.arange(count),
        text_groups=np.arange(count),
        captions=[f"caption {number} {EVIL}" for number in range(count)],
        picture=lambda index: Image.fromarray(noise[index]),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder.create(tmp_path_factory.mktemp("runs") / "one")
    confusion = Confusion(classes=["cat", EVIL, "dog"], counts=np.array([[8, 2, 0], [1, 9, 0], [0, 3, 7]]))
    skipped = [(f"captions.csv:{row}", f"no such file: {EVIL}") for row in range(60)]
    write_report(folder, CARD, FIGURES, HISTORY, examples(), skipped, ATTRIBUTION, confusion)
    return folder


@pytest.fixture(scope="module")
def html(folder: RunFolder) -> str:
    return folder.report.read_text(encoding="utf-8")


def test_nothing_given_becomes_markup(html: str) -> None:
    page = Page(html)
    assert "script" not in page.tags
    assert "<script" not in html
    assert page.text.count("<script>alert('x')</script>") > 30
    assert any("<script>" in alt for alt in page.alts)
    assert "$name" in page.text  # the template fills its own marks, never those in the data


def test_nothing_is_fetched(html: str) -> None:
    page = Page(html)
    assert len(page.addresses) > 30
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not {"link", "iframe", "object", "a", "form"} & set(page.tags)
    outside = re.sub(r"data:image/\w+;base64,[\w+/=]+", "", html)
    assert re.findall(r"https?://[^\s<)]*", outside) == ["https://example.org/by/4.0/"]
    assert "https://example.org/by/4.0/" in page.text
    assert "url(" not in outside
    assert "@import" not in outside
    assert "default-src 'none'" in html


def test_every_part_is_told(html: str) -> None:
    text = Page(html).text.replace("\u00a0", " ")
    for said in (
        "For 50.0 % of pictures, the first caption found is the right one (n = 40",
        "14 March 2026, 09:26 UTC",
        "40.0 to 60.0 %",
        "From a picture to its caption",
        "From a caption to its picture",
        "The shared space",
        "Most often mixed up",
        "60 in all: no such file (60)",
        "and 10 more",
        "Run card",
        CARD.command,
        ATTRIBUTION,
    ):
        assert said in text, said


def test_bar_only_where_the_figure_lies_between_0_and_1(html: str) -> None:
    assert html.count('class="bar"') == 1
    assert 'class="fill" style="width:50.00%"' in html
    assert 'class="span" style="left:40.00%;width:20.00%"' in html
    assert 'class="chance" style="left:2.50%"' in html


def test_it_stays_small_even_with_noise_for_pictures(folder: RunFolder) -> None:
    assert 100_000 < folder.report.stat().st_size < 3_000_000


def test_plots_lie_beside_it(folder: RunFolder) -> None:
    names = {path.stem for path in folder.plots.iterdir()}
    assert names == {"loss", "recall", "learning_rate", "scale", "similarity", "map"}
    for path in folder.plots.iterdir():
        assert np.asarray(Image.open(path).convert("L")).std() > 10


def test_what_is_absent_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "bare")
    write_report(folder, replace(CARD, created="some day"), {}, [])
    page = Page(folder.report.read_text(encoding="utf-8"))
    assert "This run has no figures yet." in page.text
    assert "some day" in page.text
    for title in ("Figures", "Training", "From a picture", "Classes", "Inputs left out"):
        assert title not in page.text
    assert not folder.plots.exists()


def test_a_handful_of_examples_is_enough(tmp_path: Path) -> None:
    for count in (1, 2, 3):
        folder = RunFolder.create(tmp_path / str(count))
        write_report(folder, CARD, FIGURES, HISTORY[:1], examples(count))
        assert "From a picture" in folder.report.read_text(encoding="utf-8")


def test_many_classes_show_no_matrix(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    counts = np.eye(30, dtype=int) * 4
    counts[3, 7] = 5
    names = [f"class {number}" for number in range(30)]
    write_report(folder, CARD, FIGURES, [], confusion=Confusion(classes=names, counts=counts))
    html = folder.report.read_text(encoding="utf-8")
    assert 'class="matrix"' not in html
    assert '<td dir="auto">class 3</td><td dir="auto">class 7</td><td dir="auto">5</td>' in html
    with pytest.raises(ValueError, match="3 classes need as many rows"):
        Confusion(classes=names[:3], counts=counts)


def test_findings_are_told_and_a_healthy_run_says_so(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    bad = Finding(name="loss at chance", severity="warning", says=f"The loss {EVIL}.", first=21, last=40)
    write_report(folder, CARD, FIGURES, HISTORY, findings=[bad])
    page = Page(folder.report.read_text())
    assert "Seen in 7 steps of training." in page.text
    assert "Loss at chance warning steps 21 to 40" in page.text
    assert bad.says in page.text
    assert "script" not in page.tags
    write_report(folder, CARD, FIGURES, HISTORY, findings=[])
    assert "Nothing wrong was seen in 7 steps of training." in Page(folder.report.read_text()).text
    write_report(folder, CARD, FIGURES, HISTORY)
    assert "Diagnosis" not in Page(folder.report.read_text()).text


@pytest.mark.parametrize("known", [set(), {"chance"}, {"chance", "bound"}])
def test_the_loss_is_explained_as_far_as_its_meaning_is_known(tmp_path: Path, known: set[str]) -> None:
    """A bound or a chance that the objective does not have is not spoken of."""
    history = [{"step": s, "epoch": s, "loss": 3.0 / s, **dict.fromkeys(known, 1.0)} for s in range(1, 5)]
    folder = RunFolder.create(tmp_path)
    write_report(folder, CARD, FIGURES, history)
    html = folder.report.read_text(encoding="utf-8")
    assert ("bound" in html) == ("bound" in known)
    assert ("stays at chance" in html) == ("chance" in known)
