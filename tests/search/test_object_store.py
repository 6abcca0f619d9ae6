"""Pictures and their index in an object store: a server on this machine that speaks S3."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from amodal.core.errors import DataError
from amodal.search import Store


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = pytest.importorskip("moto.server", reason="no object store here")
    running = moto.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, library: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> fs.FileSystem:
    """A bucket with the pictures of `library`, which is told where they and the index now are."""
    told = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
    told |= {"AWS_ENDPOINT_URL": server, "AWS_ALLOW_HTTP": "true", "AWS_EC2_METADATA_DISABLED": "true"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    name = "".join(letter for letter in tmp_path.name.lower() if letter.isalnum())
    files = fs.S3FileSystem(endpoint_override=server, allow_bucket_creation=True, allow_bucket_deletion=True)
    files.create_dir(name)
    fs.copy_files(str(library.folder), f"{name}/photos", destination_filesystem=files)
    library.where = f"s3://{name}/photos.index"
    library.source = f"s3://{name}/photos"
    return fs.SubTreeFileSystem(name, files)


def thumbnails(bucket: fs.FileSystem) -> set[str]:
    below = fs.FileSelector("photos.index/thumbnails", allow_not_found=True, recursive=True)
    return {Path(each.path).stem for each in bucket.get_file_info(below) if each.is_file}


def test_pictures_are_indexed_and_found_there(bucket: fs.FileSystem, library: Any) -> None:
    done = library.update(source=library.source)
    assert (done.version, done.pictures, done.embedded) == (1, 12, 12)
    found = library.index().search("red", top=3)
    assert {result.path for result in found} == {
        f"{library.source}/{name}" for name in ("0-red.png", "more/1-red.png", "more/2-red.png")
    }
    small = library.index().thumbnail(found.results[0])
    assert small.startswith(b"\xff\xd8")
    store = Store(library.where)
    growing = store.growing()
    assert growing is not None
    assert thumbnails(bucket) == store.contents(growing[0])


def test_only_what_differs_is_read_again(bucket: fs.FileSystem, library: Any) -> None:
    library.update(source=library.source)
    blue = library.index().search("blue", top=1).results[0]
    bucket.delete_file(blue.path.replace(library.source, "photos"))
    bucket.copy_file("photos/0-red.png", "photos/rot.png")
    library.draw("new.png", "green", seed=3)
    with bucket.open_output_stream("photos/new.png") as stream:
        stream.write((library.folder / "new.png").read_bytes())
    library.model.asked.clear()
    done = library.update(source=library.source)
    assert (done.added, done.deleted, done.known, done.embedded) == (2, 1, 1, 1)
    assert len(library.model.asked) == 1
    assert blue.content not in thumbnails(bucket)
    assert library.update(source=library.source).said == "nothing changed"


def test_it_is_rolled_back_and_older_versions_are_forgotten(bucket: fs.FileSystem, library: Any) -> None:
    library.update(source=library.source)
    bucket.delete_file("photos/0-red.png")
    library.update(source=library.source)
    store = Store(library.where)
    assert store.roll_back(1).pictures == 12
    store.forget()
    assert [version.pictures for version in Store(library.where).versions()] == [12]
    assert len(library.names("red", top=100)) == 12


def test_what_cannot_be_read_there_is_told(bucket: fs.FileSystem, library: Any) -> None:
    with bucket.open_output_stream("photos/broken.jpg") as stream:
        stream.write(b"nothing")
    assert [each.key for each in library.update(source=library.source).skipped] == ["broken.jpg"]


def test_a_bucket_that_is_not_there_is_named(bucket: fs.FileSystem, library: Any) -> None:
    library.where = "s3://no-such-bucket-at-all/index"
    with pytest.raises(DataError, match=r"^s3://no-such-bucket-at-all/index: The specified bucket does not exist;"):
        library.update(source=library.source)
