"""Blocks read elsewhere: the same table as here in whatever order they come, what a worker refuses, and who may die."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from amodal.core.errors import AmodalError, DataError, UsageError
from amodal.data.rows import Row, SkipLog
from amodal.search import Embedder, RayCluster, Store, filling
from amodal.search.blocks import Block, BlockReader, ReadBlock
from amodal.search.cluster import TRIES, Names, _Job, _Worker
from amodal.search.survey import survey

SMALL_COMMITS = """
import sys
from amodal.search import filling
filling.A_COMMIT = filling.FIRST = 2
from amodal.cli import main
sys.argv = ["amodal", *sys.argv[1:]]
main()
"""


class Elsewhere:
    """A cluster in this process: all blocks are read before the first is written, and come back last first."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.blocks = 0

    def read(
        self,
        reader: BlockReader,
        blocks: Iterable[Block],
        *,
        source: str,
        fingerprint: str,
        known: Collection[str],
        given: Collection[str],
    ) -> Iterator[ReadBlock]:
        assert source == str(self.library.folder)
        assert fingerprint == self.library.model.fingerprint
        names, with_vector = Names(known), Names(given)
        sent = [pickle.dumps((reader, block)) for block in blocks]
        read = []
        for reader, block in map(pickle.loads, sent):
            read.append(pickle.dumps(reader(block, self.library.model.embedder, names, lambda: with_vector)))
        self.blocks += len(read)
        yield from map(pickle.loads, reversed(read))


def state(where: Path) -> tuple[dict[str, dict[str, Any]], list[Any], set[str]]:
    """path -> row; the versions, but for their time; the thumbnails that are there. No path is there twice."""
    store = Store(str(where))
    found = store.growing()
    assert found is not None
    rows = store.rows(found[0], store.columns(found[0]).names)
    assert len({row["path"] for row in rows}) == len(rows)
    # how many commits of LanceDB's made a version depends on whether approximate indexes were tried
    versions = [
        replace(each, created="", version=0, settings=replace(each.settings, approximate=None))
        for each in store.versions()
    ]
    return {row["path"]: row for row in rows}, versions, {path.stem for path in where.rglob("*.jpg")}


def same(one: Path, other: Path) -> None:
    """Whether two indexes hold the same."""
    (rows, versions, thumbnails), (others, other_versions, other_thumbnails) = state(one), state(other)
    assert rows.keys() == others.keys()
    for path, row in rows.items():
        np.testing.assert_allclose(row.pop("vector"), others[path].pop("vector"), atol=1e-5)
        assert row == others[path]
    assert versions == other_versions
    assert thumbnails == other_thumbnails


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "FIRST", 1)
    monkeypatch.setattr(filling, "A_COMMIT", 2)


def test_the_same_table_as_here(library: Any) -> None:
    shutil.copy(library.folder / "0-red.png", library.folder / "more" / "z-copy.png")
    (library.folder / "broken.png").write_bytes(b"no picture")
    here, there = library.where, library.where.with_name("there.index")
    cluster = Elsewhere(library)

    def both() -> None:
        library.where = here
        mine = library.update()
        library.where = there
        assert library.update(cluster=cluster) == mine
        same(here, there)

    both()
    assert cluster.blocks == 8
    library.draw("new.png", "blue")
    library.draw("0-green.png", "red", seed=1)
    (library.folder / "more" / "1-red.png").rename(library.folder / "moved.png")
    (library.folder / "more" / "2-red.png").unlink()
    os.utime(library.folder / "0-yellow.png", ns=(1, 1))
    both()
    shutil.rmtree(library.folder / "more")
    library.draw("broken.png", "green")
    both()


def test_contents_that_change_places_while_others_read(library: Any) -> None:
    """All are known when they are read, and some are on no row any more when they are written."""
    library.update()
    names = ["0-red.png", "0-blue.png", "0-green.png", "0-yellow.png"]
    for name in names:
        (library.folder / name).rename(library.folder / f"x-{name}")
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        (library.folder / f"x-{name}").rename(library.folder / other)
    cluster = Elsewhere(library)
    done = library.update(cluster=cluster)
    assert (done.changed, done.pictures) == (4, 12)
    assert cluster.blocks > 3  # some were read again
    rows, _, thumbnails = state(library.where)
    assert {row["content"] for row in rows.values()} == thumbnails
    for name in names:
        assert rows[name]["content"] == sha256((library.folder / name).read_bytes()).hexdigest()


def test_vectors_that_are_given_travel_as_names(library: Any) -> None:
    library.update()
    known = {row["content"]: np.array(row["vector"]) for row in state(library.where)[0].values()}
    library.model.asked.clear()
    here, library.where = library.where, library.where.with_name("there.index")
    done = library.update(cluster=Elsewhere(library), given=lambda model: known)
    assert (done.pictures, done.embedded, library.model.asked) == (12, 0, [])
    same(here, library.where)


def test_names_are_found_whatever_their_bytes() -> None:
    draw = np.random.default_rng(0)
    names = [draw.bytes(32).hex() for _ in range(500)] + ["00" * 32, "ab" + "00" * 31, "ff" * 32]
    inside, outside = names[::2], names[1::2]
    known = Names(inside)
    assert all(name in known for name in inside)
    assert not any(name in known for name in outside)
    assert "00" * 32 not in Names([])


@pytest.fixture
def worker(library: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """worker(**changes) -> what a worker answers for a block of two pictures."""
    monkeypatch.setattr("ray.get", lambda value: value)
    library.update()
    store = Store(str(library.where))
    found = store.growing()
    assert found is not None
    reader = BlockReader({"folder": "folder"}, store.columns(found[0]), False)
    tries = SimpleNamespace(begin=SimpleNamespace(remote=lambda number: 1))
    looked = survey(str(library.folder))
    block = {path: looked.entry(path) for path in ("0-red.png", "more/1-red.png")}
    job = _Job(
        reader, library.model.embedder, str(library.folder), library.model.fingerprint, Names([]), Names([]), tries
    )

    def answered(**changes: Any) -> Any:
        batch = {"number": [7], "block": [pickle.dumps(block)]}
        said = _Worker(replace(job, **changes))(batch)
        assert said["number"] == [7]
        return pickle.loads(said["read"][0])

    return answered


def test_a_worker_reads_a_block(worker: Any, library: Any) -> None:
    read = worker()
    assert list(read.rows) == ["0-red.png", "more/1-red.png"]
    assert read.rows["more/1-red.png"]["folder"] == "more"
    content = sha256((library.folder / "0-red.png").read_bytes()).hexdigest()
    assert read.rows["0-red.png"]["content"] == content
    assert read.made[content].vector.dtype == np.float16
    assert worker(known=Names([content])).made.keys() == read.made.keys() - {content}


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"version": "0.0.1"}, UsageError, "and 0.0.1 here; install the same everywhere"),
        ({"fingerprint": "0" * 64}, DataError, "colours is another model there"),
        ({"source": "/nowhere/photos"}, DataError, "/nowhere/photos is not there; put it where all machines see it"),
        (
            {"tries": SimpleNamespace(begin=SimpleNamespace(remote=lambda number: TRIES + 1))},
            DataError,
            "5 workers died while they read 0-red.png to more/1-red.png of",
        ),
    ],
)
def test_what_a_worker_refuses_is_handed_back(worker: Any, changes: Any, kind: type[AmodalError], said: str) -> None:
    error = worker(**changes)
    assert type(error) is kind
    assert said in str(error)
    assert str(error).startswith("on ")


def test_without_the_extra_the_way_out_is_told(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install amodal\[ray\]"):
        RayCluster("auto", library.model.embedder)


def test_ray_client_is_refused(library: Any) -> None:
    with pytest.raises(UsageError, match=r"Ray Client.*--ray auto"):
        RayCluster("ray://head:10001", library.model.embedder)


@pytest.fixture
def machines(library: Any) -> Iterator[str]:
    """The address of a cluster of Ray: a head without cores, and two machines of one core each, all of them here."""
    import ray
    from ray import cloudpickle
    from ray.cluster_utils import Cluster

    small = {"object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "no_monitor": True, **small})
    for _ in range(2):
        cluster.add_node(num_cpus=1, **small)
    cloudpickle.register_pickle_by_value(sys.modules[type(library.model).__module__])
    yield str(cluster.address)
    ray.shutdown()
    cluster.shutdown()


def logged(model: Any, log: Path, seconds: float) -> Callable[[], Embedder]:
    """The model, which notes what it reads on which machine (the process of its raylet), and takes its time."""

    def images(rows: Sequence[Row], skipped: SkipLog) -> tuple[np.ndarray, list[int]]:
        with log.open("a") as stream:
            stream.writelines(f"{os.getppid()} {row.key}\n" for row in rows)
        time.sleep(seconds * len(rows))
        return model.images(rows, skipped)

    return lambda: replace(model.embedder(), images=images)


class Killing:
    """A cluster of which a machine is killed once both are at work."""

    def __init__(self, cluster: RayCluster, log: Path) -> None:
        self.cluster, self.log = cluster, log
        self.killed = 0

    def read(self, *given: Any, **options: Any) -> Iterator[ReadBlock]:
        for read in self.cluster.read(*given, **options):
            said = [line.split() for line in self.log.read_text().splitlines()]
            if not self.killed and len({machine for machine, _ in said}) == 2:
                self.killed = int(said[-1][0])
                os.kill(self.killed, signal.SIGKILL)
            yield read


@pytest.mark.slow
def test_a_machine_is_killed_and_nothing_is_lost_or_twice(library: Any, machines: str) -> None:
    for number in range(38):
        library.draw(f"extra/{number}.png", ("red", "green", "blue")[number % 3], seed=number)
    (library.folder / "broken.png").write_bytes(b"no picture")
    mine = library.update()
    here, library.where = library.where, library.where.with_name("there.index")
    log = library.where.with_name("log")
    cluster = RayCluster(machines, logged(library.model, log, 0.2), say=library.said.append)
    killing = Killing(cluster, log)
    done = library.update(cluster=killing)
    assert "reading on 2 workers of 2 machines, 0 GPUs" in library.said
    assert killing.killed
    assert done == mine
    same(here, library.where)
    read = [line.split()[1] for line in log.read_text().splitlines()]
    broken = sha256(b"no picture").hexdigest()
    assert set(read) == {row["content"] for row in state(library.where)[0].values()} | {broken}
    assert len(read) > len(set(read))  # what the dead one had begun was read again


@pytest.mark.slow
def test_a_picture_that_kills_its_readers_is_told(library: Any, machines: str) -> None:
    def deadly() -> Embedder:
        def images(rows: Sequence[Row], skipped: SkipLog) -> tuple[np.ndarray, list[int]]:
            os._exit(1)

        return replace(library.model.embedder(), images=images)

    with pytest.raises(DataError, match="5 workers died while they read"):
        library.update(cluster=RayCluster(machines, deadly))


@pytest.mark.slow
def test_whoever_asked_is_killed_and_goes_on(
    cli: Callable[..., Any], machines: str, tiny_run: Path, shapes: Path, tmp_path: Path
) -> None:
    here, there = tmp_path / "here.index", tmp_path / "there.index"
    assert cli("index", shapes, "--out", here, "--model", tiny_run).code == 0
    words = ["index", str(shapes), "--out", str(there), "--model", str(tiny_run), "--ray", machines]
    process = subprocess.Popen([sys.executable, "-c", SMALL_COMMITS, *words], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 300
    while not list((there / "thumbnails").rglob("*.jpg")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert len(list((there / "thumbnails").rglob("*.jpg"))) < 48
    answer = cli(*words, "--json")
    assert answer.code == 0, answer.err
    assert (json.loads(answer.out)["pictures"], json.loads(answer.out)["version"]) == (48, 1)
    (rows, _, thumbnails), (others, _, other_thumbnails) = state(here), state(there)
    assert rows.keys() == others.keys()
    assert all(np.allclose(row["vector"], others[path]["vector"], atol=1e-3) for path, row in rows.items())
    assert thumbnails == other_thumbnails
    assert "nothing changed" in cli(*words).err


def test_an_address_where_nothing_answers_is_told(library: Any) -> None:
    with pytest.raises(DataError, match=r"answers at 127\.0\.0\.1:9 "):
        library.update(cluster=RayCluster("127.0.0.1:9", library.model.embedder))
