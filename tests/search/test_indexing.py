"""An index brought up to date: what is embedded and what is not, what goes and what stays, model by model."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from amodal.core.errors import DataError, UsageError
from amodal.core.files import only_one
from amodal.data.pictures import FileRef, UnreadPicture
from amodal.search import Store, filling, update


def pictures(library: Any) -> dict[str, dict[str, Any]]:
    """path -> row of the table that answers."""
    store = Store(str(library.where))
    found = store.growing()
    assert found is not None
    return {row["path"]: row for row in store.rows(found[0], store.columns(found[0]).names)}


def is_on_disk(content: bytes, folder: Path) -> bool:
    return any(content in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_folder_is_indexed_with_all_below_it(library: Any) -> None:
    done = library.update()
    assert (done.version, done.pictures, done.added, done.embedded, done.deleted) == (1, 12, 12, 12, 0)
    assert set(pictures(library)) >= {"0-red.png", "more/1-blue.png"}
    store = Store(str(library.where))
    content = pictures(library)["0-red.png"]["content"]
    small = store.thumbnails.get(content)
    assert small is not None
    assert small.startswith(b"\xff\xd8")
    assert len(store.versions()) == 1


def test_an_unchanged_folder_opens_neither_model_nor_database(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    library.update()
    monkeypatch.setattr("amodal.search.indexing.Store", library.never)
    done = update(str(library.where), str(library.folder), library.never, revision="r1")
    assert done.said == "nothing changed"
    assert (done.version, done.pictures, done.embedded) == (1, 12, 0)


def test_only_new_and_changed_contents_are_embedded(library: Any) -> None:
    library.update()
    library.draw("new.png", "blue")
    library.draw("0-red.png", "green", seed=1)
    os.utime(library.folder / "0-blue.png", ns=(1, 1))
    library.model.asked.clear()
    done = library.update()
    assert (done.added, done.changed, done.embedded, done.known) == (1, 2, 2, 1)
    assert len(library.model.asked) == 2
    assert (done.version, done.pictures) == (2, 13)


def test_moved_and_renamed_files_cost_no_embedding(library: Any) -> None:
    library.update()
    vector = pictures(library)["more/1-red.png"]["vector"]
    (library.folder / "elsewhere").mkdir()
    (library.folder / "more" / "1-red.png").rename(library.folder / "elsewhere" / "rot.png")
    done = update(str(library.where), str(library.folder), library.never, revision="r1")
    assert (done.added, done.known, done.deleted, done.embedded) == (1, 1, 1, 0)
    found = pictures(library)
    assert found["elsewhere/rot.png"]["vector"] == vector
    assert "more/1-red.png" not in found


def test_what_is_deleted_goes_and_takes_its_thumbnail_along(library: Any) -> None:
    library.update()
    store = Store(str(library.where))
    content = pictures(library)["0-red.png"]["content"]
    small = store.thumbnails.get(content)
    assert small is not None
    assert is_on_disk(small, library.where)
    (library.folder / "0-red.png").unlink()
    assert library.update().deleted == 1
    assert store.thumbnails.get(content) is None
    assert not is_on_disk(small, library.where)
    assert "0-red.png" not in library.names("red")


def test_contents_that_change_places_are_read_again(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    library.update()
    before = {path: row["content"] for path, row in pictures(library).items()}
    monkeypatch.setattr(filling, "FIRST", 1)
    (library.folder / "0-red.png").rename(library.folder / "x.png")
    (library.folder / "0-blue.png").rename(library.folder / "0-red.png")
    (library.folder / "x.png").rename(library.folder / "0-blue.png")
    assert library.update().changed == 2
    after = {path: row["content"] for path, row in pictures(library).items()}
    assert (after["0-red.png"], after["0-blue.png"]) == (before["0-blue.png"], before["0-red.png"])
    assert all(library.index().store.thumbnails.get(content) for content in after.values())


def test_an_address_will_do_for_an_index(library: Any) -> None:
    library.where = f"file://{library.where}"
    assert library.update().pictures == 12
    (library.folder / "0-red.png").unlink()
    assert library.update().deleted == 1
    assert library.update().said == "nothing changed"
    page = library.index().search("red", top=1)
    assert library.index().thumbnail(page.results[0]) is not None


def test_an_address_will_do_for_a_source(library: Any) -> None:
    library.where = library.folder / "photos.index"
    address = f"file://{library.folder}"
    assert library.update(source=address).pictures == 12
    row = pictures(library)["more/1-red.png"]
    assert (row["file"], row["folder"]) == (f"{address}/more/1-red.png", "more")
    assert row["date"] is not None
    library.draw("new.png", "red")
    library.draw(".hidden/one.png", "red")
    (library.folder / "0-red.png").unlink()
    (library.folder / "broken.png").write_bytes(b"no picture")
    done = library.update(source=address)
    assert (done.pictures, done.added, done.deleted, done.embedded) == (12, 1, 1, 1)
    assert [entry.key for entry in done.skipped] == ["broken.png"]
    assert update(str(library.where), address, library.never, revision="r1").said == "nothing changed"
    with pytest.raises(DataError, match="file:///nowhere/at/all is not there"):
        update(str(library.where.with_name("other")), "file:///nowhere/at/all", library.never)
    with pytest.raises(DataError, match="cannot be listed"):
        update(str(library.where.with_name("other")), "nothing://known/at/all", library.never)


def test_a_copy_keeps_the_thumbnail_of_what_is_deleted(library: Any) -> None:
    shutil.copy(library.folder / "0-red.png", library.folder / "copy.png")
    library.update()
    content = pictures(library)["0-red.png"]["content"]
    (library.folder / "0-red.png").unlink()
    library.update()
    assert Store(str(library.where)).thumbnails.get(content) is not None


@pytest.mark.parametrize("empty", [False, True])
def test_a_mount_that_is_away_deletes_nothing_and_costs_nothing(library: Any, empty: bool) -> None:
    library.update()
    away = library.folder.with_name("away")
    library.folder.rename(away)
    if empty:
        library.folder.mkdir()
    done = library.update()
    assert (done.pictures, done.deleted, done.away) == (12, 0, (str(library.folder),))
    assert "perhaps it is away" in library.said[-1]
    assert len(library.names("red")) == 12
    if empty:
        library.folder.rmdir()
    away.rename(library.folder)
    done = update(str(library.where), str(library.folder), library.never, revision="r1")
    assert (done.pictures, done.added, done.deleted) == (12, 0, 0)


def test_a_mount_below_that_is_away_deletes_nothing(library: Any) -> None:
    library.update()
    shutil.rmtree(library.folder / "more")
    (library.folder / "more").mkdir()
    done = library.update()
    assert (done.pictures, done.deleted, done.away) == (12, 0, ("more",))
    (library.folder / "more").rmdir()
    assert library.update().deleted == 8


def test_gone_says_that_what_is_away_is_deleted(library: Any) -> None:
    library.update()
    shutil.rmtree(library.folder)
    done = library.update(gone=True)
    assert (done.pictures, done.deleted) == (0, 12)
    assert library.names("red") == []


def test_an_unreadable_file_is_listed_and_tried_again_when_it_changes(library: Any) -> None:
    broken = library.folder / "broken.png"
    broken.write_bytes(b"no picture")
    done = library.update()
    assert (done.pictures, [entry.key for entry in done.skipped]) == (12, ["broken.png"])
    assert "text, not a picture" in done.skipped[0].reason
    again = update(str(library.where), str(library.folder), library.never, revision="r1")
    assert again.skipped == done.skipped
    library.draw("other.png", "red")
    assert [entry.key for entry in library.update().skipped] == ["broken.png"]
    library.draw("broken.png", "blue")
    done = library.update()
    assert (done.pictures, done.added, done.skipped) == (14, 1, ())


def test_a_picture_that_breaks_is_not_found_any_more(library: Any) -> None:
    library.update()
    (library.folder / "0-red.png").write_bytes(b"")
    done = library.update()
    assert [entry.key for entry in done.skipped] == ["0-red.png"]
    assert "0-red.png" not in library.names("red")


def test_captions_and_columns_of_a_table_are_kept(library: Any) -> None:
    table = library.folder / "captions.csv"
    lines = [
        "image,caption,price,id",
        "0-red.png,a rose,3.5,007",
        "0-blue.png,the sea,12,008",
        "0-blue.png,waves,12,008",
    ]
    table.write_text("\n".join(lines))
    library.update(source=table)
    rows = pictures(library)
    assert rows["0-blue.png"]["captions"] == ["the sea", "waves"]
    assert (rows["0-red.png"]["price"], rows["0-red.png"]["id"]) == (3.5, "007")
    assert rows["0-red.png"]["file"] == str(library.folder / "0-red.png")
    assert library.names(where="price > 10") == ["0-blue.png"]
    library.model.asked.clear()
    table.write_text("\n".join(lines).replace("a rose", "a tulip").replace("3.5", "4"))
    done = update(str(library.where), str(table), library.never, revision="r1")
    assert (done.changed, done.known, done.embedded) == (1, 1, 0)
    assert pictures(library)["0-red.png"]["captions"] == ["a tulip"]
    assert pictures(library)["0-red.png"]["price"] == 4.0


def test_a_table_whose_pictures_are_away_deletes_nothing(library: Any) -> None:
    table = library.where.with_name("captions.csv")
    table.write_text("image,caption\nphotos/0-red.png,a rose\nphotos/0-blue.png,the sea\n")
    library.update(source=table)
    library.folder.rename(library.folder.with_name("away"))
    done = library.update(source=table)
    assert (done.pictures, done.deleted, len(done.away)) == (2, 0, 1)


def test_a_value_that_is_no_number_leaves_the_column_empty(library: Any) -> None:
    table = library.folder / "captions.csv"
    table.write_text("image,caption,price\n0-red.png,a rose,3\n")
    library.update(source=table)
    table.write_text("image,caption,price\n0-red.png,a rose,cheap\n0-blue.png,the sea,5\n")
    library.update(source=table)
    assert {path: row["price"] for path, row in pictures(library).items()} == {"0-red.png": None, "0-blue.png": 5.0}


def test_names_of_columns_that_are_taken_give_way(library: Any) -> None:
    table = library.folder / "captions.csv"
    table.write_text("image,caption,path,year\n0-red.png,a rose,shelf 4,1999\n")
    library.update(source=table)
    row = pictures(library)["0-red.png"]
    assert (row["path"], row["path_"], row["year"]) == ("0-red.png", "shelf 4", 1999.0)


def photograph(library: Any, name: str) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "EOS 5D"
    exif.get_ifd(0x8769)[0x9003] = "2016:05:04 10:20:30"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 30.0, 0.0), 3: "W", 4: (2.0, 15.0, 0.0)})
    library.draw(name, "red", exif=exif)


def test_exif_is_kept_and_places_only_when_asked_for(library: Any) -> None:
    photograph(library, "holiday.jpg")
    library.update()
    row = pictures(library)["holiday.jpg"]
    assert (row["taken"].isoformat(), row["year"], row["camera"]) == ("2016-05-04T10:20:30", 2016.0, "Canon EOS 5D")
    assert (row["latitude"], row["longitude"]) == (None, None)
    library.model.asked.clear()
    done = update(str(library.where), str(library.folder), library.never, revision="r1", place=True)
    assert (done.changed, done.embedded) == (13, 0)
    row = pictures(library)["holiday.jpg"]
    assert (row["latitude"], row["longitude"]) == (48.5, -2.25)
    library.draw("new.png", "red")
    library.update()
    assert pictures(library)["holiday.jpg"]["latitude"] == 48.5
    library.update(place=False)
    assert pictures(library)["holiday.jpg"]["latitude"] is None


def test_vectors_that_are_given_are_not_computed(library: Any) -> None:
    known = {}
    library.update()
    for row in pictures(library).values():
        known[row["content"]] = np.array(row["vector"])
    library.where = library.where.with_name("second.index")
    library.model.asked.clear()
    done = library.update(given=lambda model: known)
    assert (done.pictures, done.embedded, library.model.asked) == (12, 0, [])
    assert library.names("red")[0].endswith("red.png")


def test_an_index_in_its_own_folder_is_not_indexed(library: Any) -> None:
    library.where = library.folder / "photos.index"
    assert library.update().pictures == 12
    library.draw("new.png", "red")
    assert library.update().pictures == 13
    assert library.update().said == "nothing changed"


def test_one_writer_at_a_time(library: Any) -> None:
    library.update()
    library.draw("new.png", "red")
    with only_one(library.where / "lock") as held:
        assert held
        with pytest.raises(DataError, match="is being changed by another process"):
            library.update()
    assert library.update().added == 1


def test_wrong_calls_leave_nothing_behind(library: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not there; give a folder"):
        library.update(source=tmp_path / "nowhere")
    assert not library.where.exists()
    library.where.mkdir()
    (library.where / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files and no index"):
        library.update()
    assert [path.name for path in library.where.iterdir()] == ["thesis.txt"]


def test_without_the_extra_the_way_out_is_told(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(UsageError, match=r"pip install amodal\[search\]"):
        library.update()


def test_an_index_is_searched_while_it_grows(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "FIRST", 4)
    found = []

    def look(line: str) -> None:
        if "pictures to read" in line:
            found.append(len(library.index().search("red", top=50)))

    library.update(say=look)
    assert found == [4]


def test_what_may_be_whole_is_tried_again_by_every_run(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    content = FileRef.content

    def refused(self: FileRef) -> bytes:
        if self.path.name == "0-red.png":
            raise UnreadPicture(f"{self.path}: cannot be read (Permission denied)")
        return content(self)

    monkeypatch.setattr(FileRef, "content", refused)
    for _ in range(2):
        done = library.update()
        assert [(each.key, "Permission denied" in each.reason) for each in done.skipped] == [("0-red.png", True)]
    monkeypatch.undo()
    done = library.update()
    assert (done.added, done.pictures, done.skipped) == (1, 12, ())
    assert library.update().said == "nothing changed"


def test_a_folder_that_cannot_be_read_is_told_though_nothing_else_changed(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.update()
    (library.folder / "locked").mkdir()
    scandir = os.scandir

    def refused(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    for _ in range(2):
        assert [each.key for each in library.update().skipped] == ["locked"]


def test_a_folder_is_one_source_however_it_is_reached(library: Any, tmp_path: Path) -> None:
    library.update()
    (tmp_path / "link").symlink_to(library.folder)
    for other in (tmp_path / "link", library.folder / "more" / ".."):
        assert library.update(source=other).said == "nothing changed"
    assert library.index().settings.sources == (str(library.folder),)


def test_a_library_that_was_moved_is_told_and_taken_out_when_asked(library: Any) -> None:
    library.update()
    before = library.folder
    library.folder = before.rename(before.with_name("moved"))
    done = library.update()
    assert (done.embedded, done.known, done.pictures) == (0, 12, 24)
    told = f"if it was moved to {library.folder}, say so with: amodal index {before}"
    assert any(told in line for line in library.said)
    assert library.update(source=before, gone=True).pictures == 12
