"""Questions to an index: what comes first, what a filter and a cut-off leave, pages, copies, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from amodal.core.errors import DataError, UsageError
from amodal.search import BEST, Spread, Store, Term, Words
from amodal.search.calibration import evidence
from amodal.search.query import term


def colours(names: list[str]) -> list[str]:
    return [Path(name).stem.partition("-")[2] for name in names]


@pytest.fixture
def filled(library: Any) -> Any:
    library.update()
    return library


@pytest.fixture
def unnamed(library: Any) -> Any:
    """The same pictures under names that say nothing."""
    for number, path in enumerate(sorted(library.folder.rglob("*.png"))):
        path.rename(path.with_name(f"{chr(97 + number)}-{path.stem.partition('-')[2][::-1]}.png"))
    library.update()
    return library


def test_words_find_what_they_name(unnamed: Any) -> None:
    assert colours(unnamed.names("red"))[:3] == ["der"] * 3
    assert colours(unnamed.names("a blue thing"))[:3] == ["eulb"] * 3
    page = unnamed.index().search("red", top=5)
    assert len(page) == 5
    assert [result.score for result in page] == sorted((result.score for result in page), reverse=True)
    assert (page.total, page.more, page.no_match) == (12, True, None)
    assert all(result.probability is None and not result.exact for result in page)


def test_a_picture_finds_itself_in_every_form(unnamed: Any) -> None:
    path = next(unnamed.folder.glob("*-der.png"))
    for form in (path, str(path), path.read_bytes(), Image.open(path)):
        first = unnamed.index().search(form, top=1).results[0]
        assert Path(first.path) == path
        assert first.score == pytest.approx(1, abs=1e-3)


def test_terms_are_added_and_taken_away_with_weights(unnamed: Any) -> None:
    assert set(colours(unnamed.names("red", "green"))[:9]) == {"der", "neerg", "wolley"}
    assert set(colours(unnamed.names("yellow", minus=["red"]))[:6]) == {"neerg", "wolley"}
    assert colours(unnamed.names("yellow", minus="red:0.01"))[:3] == ["wolley"] * 3
    assert colours(unnamed.names("red:0.1", Term("green", 2.0)))[:3] == ["neerg"] * 3
    mixed = unnamed.names("yellow", next(unnamed.folder.glob("*-der.png")), minus=["yellow"])
    assert colours(mixed)[:3] == ["der"] * 3


def test_terms_that_take_each_other_away_are_refused(filled: Any) -> None:
    with pytest.raises(UsageError, match="take each other away"):
        filled.names("red", minus="red")
    with pytest.raises(UsageError, match="a term of the query is empty"):
        filled.names(" ")
    with pytest.raises(UsageError, match=r"there is no picture gone/nowhere\.png"):
        filled.names("gone/nowhere.png")
    with pytest.raises(UsageError, match="is a file and no picture"):
        filled.names(__file__)
    with pytest.raises(UsageError, match="words or a picture, and not None"):
        filled.index().search(None)


def test_a_file_is_found_by_its_name_and_a_colon_in_words_stays(filled: Any) -> None:
    first = filled.index().search("0-red.png").results[0]
    assert (Path(first.path).name, first.exact) == ("0-red.png", True)
    for text, words in {"the clock at 10:30": "the clock at 10:30", "16:9": "16:9", "snow:0.5": "snow"}.items():
        assert term(text).what == words


def test_names_are_hit_however_their_letters_are_written(library: Any) -> None:
    for name in ("cafe\u0301.png", "\u9ed1\u732b\u7167\u7247.png", "\u0928\u092e\u0938\u094d\u0924\u0947.png"):
        library.draw(name, "red")
    library.update()
    for query in ("caf\u00e9", "\u732b", "\u9ed1\u732b", "\u0928\u092e\u0938\u094d\u0924\u0947"):
        assert [each.exact for each in library.index().search(query, top=2)] == [True, False], query


def test_hits_in_names_and_captions_come_first(library: Any) -> None:
    table = library.folder / "captions.csv"
    rows = ["0-red.png,a fire engine,toys", "0-green.png,green leaves,nature", "0-blue.png,Blue sea and a red boat,sea"]
    table.write_text("\n".join(["image,caption,tags", *rows]))
    library.update(source=table)
    page = library.index().search("boat")
    assert next((Path(result.path).name, result.exact) for result in page) == ("0-blue.png", True)
    assert [Path(each.path).name for each in library.index().search("red")][:2] == ["0-red.png", "0-blue.png"]
    assert [result.exact for result in library.index().search("the RED boat")] == [True, False, False]
    assert library.index().search("nature").results[0].exact  # a tag
    assert not library.index().search("red", minus="boat").results[1].exact
    assert library.names("boat", at_least=0.99) == ["0-blue.png"]


def test_a_word_is_no_part_of_another(library: Any) -> None:
    library.draw("category.png", "red")
    library.update()
    assert not any(result.exact for result in library.index().search("cat", top=50))
    assert library.index().search("category").results[0].exact


def test_the_cut_off_holds_under_a_filter(filled: Any) -> None:
    everything = filled.index().search("red", top=50)
    cut = sorted((result.score for result in everything), reverse=True)[4]
    page = filled.index().search("red", top=50, at_least=cut, where="folder = 'more'")
    assert 0 < page.total == len(page) < 8
    assert all(result.score >= cut - 1e-3 or result.exact for result in page)
    assert all("/more/" in result.path for result in page)


def test_pages_are_stable_and_whole(unnamed: Any) -> None:
    index = unnamed.index()
    whole = [result.path for result in index.search("green", top=12)]
    assert len(set(whole)) == 12
    for top in (1, 5, 7):
        pages = [index.search("green", top=top, page=number) for number in range(1, 14)]
        assert [result.path for page in pages for result in page] == whole
        assert [page.more for page in pages[:2]] == [True, top < 7]
        assert all(page.total == 12 for page in pages)


def test_equal_scores_are_ordered_by_path(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amodal.search.asked.AT_ONCE", 3)
    monkeypatch.setattr(library.model, "images", lambda rows, skipped: (np.eye(8)[[0] * len(rows)], range(len(rows))))
    library.update()
    found = [result.path for result in library.index().search("purple", top=50)]
    assert found == sorted(found)
    assert len(found) == 12


def test_what_is_taken_away_is_no_hit_by_name(filled: Any) -> None:
    filled.draw("red and blue.png", "blue")
    filled.update()
    for query, minus in ((["red"], ["blue"]), ([Term("red"), Term("blue", -1.0)], [])):
        found = {Path(each.path).name: each.exact for each in filled.index().search(query, minus=minus, top=20)}
        assert {name for name, exact in found.items() if exact} == {"0-red.png", "1-red.png", "2-red.png"}
        assert found["red and blue.png"] is False


def test_words_that_are_only_taken_away_have_no_probability(filled: Any) -> None:
    filled.model.calibration = Steep()
    page = filled.index().search(minus="red")
    assert (page.no_match, page.results[0].probability) == (None, None)


@pytest.mark.parametrize("top", [1, 2, 3, 5])
def test_every_picture_is_on_some_page_whatever_looks_like_what(filled: Any, top: int) -> None:
    for name in ("0-red", "0-green", "0-blue"):
        shutil.copy(filled.folder / f"{name}.png", filled.folder / f"z copy of {name[2:]}.png")
    filled.update()
    index = filled.index()
    for query in ("", "yellow"):
        page, seen, more = 0, [], True
        while more:
            page += 1
            found = index.search(query or [], top=top, page=page)
            assert len(found) == top or not found.more
            seen += [path for each in found for path in (each.path, *each.copies)]
            more = found.more
        assert sorted(seen) == sorted(set(seen))
        assert len(seen) == found.total == 15


def test_near_duplicates_are_listed_with_the_first_of_them(filled: Any) -> None:
    with Image.open(filled.folder / "0-red.png") as image:
        image.resize((70, 70)).save(filled.folder / "small.jpg")
        image.save(filled.folder / "again.jpg", quality=60)
    filled.update()
    page = filled.index().search("red", top=50)
    assert page.total == 14
    group = next(result for result in page if Path(result.path).name == "0-red.png")
    assert sorted(Path(path).name for path in group.copies) == ["again.jpg", "small.jpg"]
    assert len(page) == 12


def test_without_a_query_everything_that_passes_is_listed(filled: Any) -> None:
    assert filled.names(where="folder = 'more'", top=3) == ["1-blue.png", "1-green.png", "1-red.png"]
    assert filled.index().search().total == 12


def test_the_newest_first(library: Any) -> None:
    table = library.folder / "captions.csv"
    rows = ["0-red.png,one,2019-03-01", "0-green.png,two,2021-03-01", "0-blue.png,three,2020-03-01"]
    table.write_text("\n".join(["image,caption,taken", *rows]))
    library.update(source=table)
    assert library.names("thing", sort="date") == ["0-green.png", "0-blue.png", "0-red.png"]
    assert library.names(sort="date", top=2) == ["0-green.png", "0-blue.png"]
    best = library.index().search("red", top=1).results[0].score
    assert library.names("red", sort="date", at_least=best - 1e-3) == ["0-red.png"]


@pytest.mark.parametrize(("where", "said"), [("yeer > 3", "No field named yeer"), ("year >", "sql parser error")])
def test_a_wrong_filter_is_told(filled: Any, where: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"the filter cannot be used: .*{said}"):
        filled.names("red", where=where)


def test_quotes_in_names_and_filters(library: Any) -> None:
    library.draw("it's/o'brien.png", "red")
    library.update()
    assert library.names("o'brien")[0] == "o'brien.png"
    (library.folder / "it's" / "o'brien.png").unlink()
    (library.folder / "it's").rmdir()
    assert library.update().deleted == 1


def test_a_language_that_the_model_does_not_know_is_told(filled: Any) -> None:
    (note,) = filled.index().search("красный круг").notes
    assert "the model knows en" in note
    assert "Cyrillic" in note
    assert filled.index().search("a red circle on a white ground").notes == ()
    filled.model.languages = ()
    assert filled.index().search("красный круг").notes == ()


class Steep:
    """In a calibration's place: a score is its own chance, and nothing fits below `least`; keeps what it was given."""

    best_QB: np.ndarray

    def __init__(self, least: float = 0.5, cut: float = 0.0) -> None:
        self.least, self.cut = least, cut
        self.given: list[tuple[np.ndarray, Spread]] = []

    def probability(self, score_QK: np.ndarray, spread: Spread) -> np.ndarray:
        self.given.append((score_QK, spread))
        return score_QK / 2

    def presence(self, score_QK: np.ndarray, spread: Spread) -> np.ndarray:
        self.best_QB = score_QK[:, :BEST]
        return np.where(score_QK < self.least, -np.inf, np.inf)


class Beside(Steep):
    """As `Calibration`, a score is judged beside the best other one."""

    def probability(self, score_QK: np.ndarray, spread: Spread) -> np.ndarray:
        return (1 + evidence(score_QK, spread)[..., 0] - np.nan_to_num(evidence(score_QK, spread)[..., 1])) / 4


def test_words_are_answered_by_probabilities(filled: Any) -> None:
    filled.model.calibration = Steep()
    index = filled.index()
    page = index.search("red", top=3, page=2)
    ((score_QK, spread),) = filled.model.calibration.given
    vector_ND = index.store.vectors(index._table[0], 100)
    cosine_N = vector_ND @ filled.model.texts(["red"])[0]
    np.testing.assert_allclose(score_QK[0, :BEST], -np.sort(-cosine_N)[:BEST], atol=1e-3)  # kept in half precision
    assert spread.count == len(cosine_N)
    np.testing.assert_allclose([spread.mean_Q[0], spread.deviation_Q[0]], [cosine_N.mean(), cosine_N.std()], rtol=1e-4)
    for result in page:
        assert result.score is not None
        assert result.probability == pytest.approx(result.score / 2, abs=1e-4)
    assert page.no_match is False


def test_the_best_are_asked_for_once(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, nearest = [], Store.nearest

    def counted(self: Store, *given: Any, **options: Any) -> Any:
        asked.append(options)
        return nearest(self, *given, **options)

    monkeypatch.setattr(Store, "nearest", counted)
    filled.model.calibration = Steep()
    index = filled.index()
    for query, options, times in (
        ("red", {}, 1),
        ("purple", {}, 1),
        ("purple", {"where": "path LIKE 'more%'"}, 2),  # and the best without the filter
        ("red", {"top": 1}, 1),  # its hits fill the page, so that the best of all are asked for
        ("purple", {"at_least": 0.5}, 3),  # counted once more, and the best may be less similar
    ):
        asked.clear()
        index.search(query, **options)
        assert len(asked) == times, (query, options)
        cosine_N = index.store.vectors(index._table[0], 100) @ filled.model.texts([query])[0]
        best_B = filled.model.calibration.best_QB[0]
        np.testing.assert_allclose(best_B, -np.sort(-cosine_N)[:BEST], atol=1e-3)


def test_a_filter_does_not_change_what_a_score_means(filled: Any) -> None:
    filled.model.calibration = Beside()
    index = filled.index()
    of_all = {each.path: each.probability for each in index.search("red", top=12)}
    for where in ("path LIKE 'more%'", "path LIKE '%blue%'", "path = '0-yellow.png'"):
        for each in index.search("red", top=12, where=where):
            assert each.probability == pytest.approx(of_all[each.path])


def test_no_good_match_is_said_and_hits_in_names_count(filled: Any) -> None:
    filled.model.calibration = Steep(least=2)
    assert filled.index().search("purple").no_match is True
    assert filled.index().search("purple").summary().startswith("no good match")
    assert len(filled.index().search("purple")) > 0  # listed all the same
    assert filled.index().search("red").no_match is False  # a name says so


def test_what_is_weak_agrees_with_what_is_said_of_all(filled: Any) -> None:
    filled.model.calibration = Steep(least=2)
    page = filled.index().search("purple", top=12)
    assert page.no_match is True
    assert all(result.weak for result in page)
    page = filled.index().search("red", top=12)
    assert page.no_match is False
    assert {result.weak for result in page} == {False, True}
    assert [result.weak for result in page] == [not result.exact for result in page]  # only names say that it fits
    filled.model.calibration = Steep(least=-1, cut=0.9)
    page = filled.index().search("purple", top=12)
    assert [result.weak for result in page] == [False] + 11 * [True]  # the best one is never weak where something fits
    filled.model.calibration = Steep(least=-1, cut=0.2)
    page = filled.index().search("purple", top=12)
    assert [result.weak for result in page][1:] == [(result.probability or 0) < 0.2 for result in page][1:]


def test_hits_in_names_count_on_every_page(filled: Any) -> None:
    filled.model.calibration = Steep(least=2)
    assert [filled.index().search("red", top=4, page=page).no_match for page in (1, 2, 3)] == [False] * 3


@pytest.mark.parametrize("least", [0.0, 0.1, 0.2, 0.3, 0.45, 0.6])
def test_probability_at_least_leaves_out_the_others(filled: Any, least: float) -> None:
    filled.model.calibration = Steep()
    everything = filled.index().search("red", top=12)
    wanted = [each.path for each in everything if each.exact or (each.probability or 0) >= least]
    found = filled.index().search("red", top=12, probability_at_least=least)
    assert [each.path for each in found] == wanted
    assert found.total == len(wanted)
    paged = [filled.index().search("red", top=5, page=page, probability_at_least=least) for page in (1, 2, 3)]
    assert [each.path for page in paged for each in page] == wanted


def test_probability_at_least_needs_words_alone_and_a_calibration(filled: Any) -> None:
    for query, calibration in (("red", None), (["red", "blue"], Steep()), ((), Steep())):
        filled.model.calibration = calibration
        with pytest.raises(UsageError, match="a query of words alone"):
            filled.index().search(query, probability_at_least=0.5)


def test_a_picture_is_found_by_its_content(filled: Any) -> None:
    index = filled.index()
    (best,) = index.search("red", top=1)
    (found,) = index.by_content(best.content)
    assert (found.path, found.content, found.score, found.kept) == (best.path, best.content, None, best.kept)
    assert index.by_content("0" * 64) == []
    vectors = index.vectors([best.content, "0" * 64])
    assert list(vectors) == [best.content]
    assert np.linalg.norm(vectors[best.content]) == pytest.approx(1)
    by_vector, by_file = (index.search(picture, top=12) for picture in (vectors[best.content], Path(best.path)))
    assert [each.path for each in by_vector] == [each.path for each in by_file]


def test_attributes_and_settings_are_told(filled: Any) -> None:
    index = filled.index()
    told = {"captions": "texts", "taken": "date", "year": "number", "camera": "text"}
    assert told.items() <= index.attributes.items()
    assert "vector" not in index.attributes
    assert index.settings.sources == (str(filled.folder),)
    assert index.skipped == []


def test_words_that_look_like_a_file_stay_words(filled: Any) -> None:
    name = str(filled.folder / "0-red.png")
    assert filled.index().search(Term(Words(name)), top=3).total == 12
    assert Term(Words("no/such/file.png")).words == "no/such/file.png"


def test_nothing_is_claimed_of_pictures_and_sums_of_terms(filled: Any) -> None:
    filled.model.calibration = Steep()
    picture = filled.folder / "0-red.png"
    for query, minus in ((picture, ()), (["red", picture], ()), (["red", "blue"], ()), ("red", "blue"), ((), ())):
        page = filled.index().search(query, minus=minus)
        assert page.no_match is None
        assert {result.probability for result in page} == {None}


@pytest.mark.parametrize("wrong", [{"top": 0}, {"page": 0}, {"sort": "size"}])
def test_wrong_pages_are_refused(filled: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="top and page start at 1"):
        filled.index().search("red", **wrong)


def test_no_index_is_told(tmp_path: Path, library: Any) -> None:
    with pytest.raises(DataError, match="there is no index at"):
        library.index()
    library.where.mkdir()
    with pytest.raises(DataError, match="holds no index"):
        library.index()


def test_json_and_lines(filled: Any) -> None:
    page = filled.index().search("red", top=2)
    said = page.to_json()
    assert list(said)[:2] == ["results", "no_match"]
    assert {"path", "score", "probability"} <= said["results"][0].keys()
    assert (said["total"], said["page"], said["more"], said["no_match"]) == (12, 1, True, None)
    assert "(by name)" in page.results[0].line()
    assert page.summary() == "page 1: 2 results, of 12 pictures in all; scores are cosines; more with --page 2"
