"""Models that change, and versions of an index that answer: one table a model, the old one until the new is whole."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from amodal.core.errors import DataError, UsageError
from amodal.core.files import only_one
from amodal.search import Index, Store, filling


def test_a_new_model_builds_a_table_beside_the_old_one(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    library.update()
    old = library.model
    library.model = type(old)(name="other", fingerprint="0" * 64, revision="r2")
    asked = []

    def half(rows: Any, skipped: Any) -> Any:
        if asked:
            raise KeyboardInterrupt
        asked.append(len(rows))
        return type(old).images(library.model, rows, skipped)

    monkeypatch.setattr(library.model, "images", half)
    monkeypatch.setattr(filling, "FIRST", 5)
    with pytest.raises(KeyboardInterrupt):
        library.update()
    assert "is another model than colours" in library.said[-2]
    assert "12 pictures to read" in library.said[-1]
    assert len(Index(str(library.where), old.embedder).search("red", top=50)) == 12  # the old one answers
    with pytest.raises(DataError, match=r"was made with colours \(ffffffffffff\) and cannot be searched with other"):
        Index(str(library.where), library.model.embedder).search("red")
    monkeypatch.undo()
    library.model.asked.clear()
    done = library.update()
    assert (done.pictures, len(library.model.asked)) == (12, 7)  # the first five were there
    with pytest.raises(DataError, match="was made with other"):
        Index(str(library.where), old.embedder).search("red")
    assert library.index().search("red")
    versions = Store(str(library.where)).versions()
    assert [version.settings.fingerprint[0] for version in versions] == ["f", "0"]


def test_the_same_weights_in_other_files_are_the_same_model(library: Any) -> None:
    library.update()
    library.model.revision = "r2"
    library.model.asked.clear()
    done = library.update()
    assert (done.embedded, len(library.model.asked)) == (0, 0)
    assert Store(str(library.where)).versions()[-1].settings.revision == "r2"


def test_a_new_model_embeds_every_source(library: Any, tmp_path: Path) -> None:
    library.update()
    shutil.copytree(library.folder, tmp_path / "second")
    library.draw("../second/extra.png", "red")
    assert library.update(source=tmp_path / "second").pictures == 25
    library.model = type(library.model)(name="other", fingerprint="0" * 64, revision="r2")
    (tmp_path / "second").rename(tmp_path / "away")
    with pytest.raises(DataError, match="is away, and 13 pictures of it must be embedded again with the new model"):
        library.update()
    (tmp_path / "away").rename(tmp_path / "second")
    (library.folder / "more").rename(tmp_path / "more")
    (library.folder / "more").mkdir()
    with pytest.raises(DataError, match="is away, and 8 pictures"):
        library.update()
    (library.folder / "more").rmdir()
    (tmp_path / "more").rename(library.folder / "more")
    done = library.update()
    assert (done.pictures, len(library.model.asked)) == (25, 13)  # copies are embedded once


def test_roll_back_and_forget(library: Any) -> None:
    library.update()
    (library.folder / "0-red.png").unlink()
    library.update()
    store = Store(str(library.where))
    assert store.roll_back(1).number == 3
    assert "0-red.png" in library.names("red")
    assert [version.pictures for version in store.versions()] == [12, 11, 12]
    assert library.update().deleted == 1  # the folder has not changed
    with pytest.raises(UsageError, match="has no version 9; it has 1 to 4"):
        store.roll_back(9)
    Store(str(library.where)).forget()
    versions = Store(str(library.where)).versions()
    assert [(version.number, version.pictures) for version in versions] == [(1, 11)]
    assert len(library.names("red")) == 11


def test_what_is_rolled_back_to_has_its_thumbnails_again_when_its_files_have(library: Any) -> None:
    library.update()
    first = library.folder / "0-red.png"
    first.rename(library.folder.parent / "kept.png")
    library.update()
    store = Store(str(library.where))
    store.roll_back(1)
    content = library.index().search("0-red.png", top=1).results[0].content
    assert store.thumbnails.get(content) is None
    (library.folder.parent / "kept.png").rename(first)
    done = library.update()
    assert (done.changed, done.embedded, done.pictures) == (1, 1, 12)
    assert store.thumbnails.get(content) is not None
    assert library.update().said == "nothing changed"


def test_one_writer_at_a_time(library: Any) -> None:
    library.update()
    with only_one(library.where / "lock") as held:
        assert held
        for change in (lambda store: store.roll_back(1), lambda store: store.forget()):
            with pytest.raises(DataError, match="is being changed by another process"):
                change(Store(str(library.where)))
