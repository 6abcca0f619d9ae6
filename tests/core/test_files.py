"""Atomic files: whole or absent, whatever happens in between."""

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from amodal.core.files import atomic_path, atomic_write, only_one, sha256_of


def test_writes_text_and_bytes(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "a.txt"
    atomic_write(target, "naïve")
    assert target.read_bytes() == "naïve".encode()
    atomic_write(target, b"\x00\xff")
    assert target.read_bytes() == b"\x00\xff"
    assert list(target.parent.iterdir()) == [target]


def test_target_is_old_until_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        assert target.read_text() == "old"
        assert temporary.parent == target.parent  # a rename across disks would not be atomic
    assert target.read_text() == "half"


def interrupted(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_exception_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    for before in (None, "old"):
        if before is not None:
            target.write_text(before)
        with pytest.raises(KeyboardInterrupt):
            interrupted(target)
        assert [path.name for path in tmp_path.iterdir()] == ([] if before is None else ["a.txt"])
        assert before is None or target.read_text() == before


def test_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    code = (
        "import os, sys, pathlib; from amodal.core.files import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == 9
    assert target.read_text() == "old"


def test_two_writers_do_not_share_a_temporary(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "a.txt") as one, atomic_path(tmp_path / "a.txt") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a.txt").read_text() == "one"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "a.txt", "x")
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a.bin") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_lock_is_held_by_one_process_and_freed_by_its_death(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from amodal.core.files import only_one\n"
    code += "with only_one(Path(sys.argv[1])) as held: print(held, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"True"
        with only_one(tmp_path / "lock") as held:
            assert not held
        other.kill()
        other.wait()
    with only_one(tmp_path / "lock") as held:
        assert held
