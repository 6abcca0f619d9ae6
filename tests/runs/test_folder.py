"""The run folder: how it begins, when it refuses, how it is opened again."""

import json
import os
from pathlib import Path

import pytest

import amodal
from amodal.core.errors import RunError
from amodal.runs.folder import SCHEMA, RunFolder, default_run_path, read_json, write_json


def stopped_run(path: Path) -> RunFolder:
    run = RunFolder.create(path)
    run.last.mkdir(parents=True)
    run.recipe.write_text("name: small\n")
    return run


def test_create_writes_schema_and_version(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "deep" / "one")
    assert read_json(run.config) == {"schema": SCHEMA, "amodal": amodal.__version__}
    run.write_config({"width": 256, "schema": 99})
    assert RunFolder.open(run.path).read_config() == {"width": 256, "schema": SCHEMA, "amodal": amodal.__version__}


def test_every_name_lies_inside_and_once(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    names = [name for name, value in vars(RunFolder).items() if isinstance(value, property)]
    paths = [value for name in names if isinstance(value := getattr(run, name), Path)]
    assert len(paths) == 15
    assert len(set(paths)) == len(paths)
    assert all(tmp_path in path.parents for path in paths)
    assert run.weights.name == "model.safetensors"
    assert run.last.parent == run.checkpoints


def test_create_goes_on_where_a_run_stopped(tmp_path: Path) -> None:
    run = stopped_run(tmp_path / "one")
    run.write_config({"width": 8})
    assert RunFolder.create(run.path).read_config()["width"] == 8
    assert run.recipe.read_text() == "name: small\n"


def test_create_refuses_what_is_not_resumable(tmp_path: Path) -> None:
    run = stopped_run(tmp_path / "one")
    write_json(run.figures, {})
    with pytest.raises(RunError, match=r"one already holds a finished run: give another folder \(--out\)"):
        RunFolder.create(run.path)
    early = RunFolder.create(tmp_path / "early")
    with pytest.raises(RunError, match="stopped before its first checkpoint"):
        RunFolder.create(early.path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        RunFolder.create(tmp_path / "file")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_no_run_is_never_touched(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="is not a run; nothing in it was touched"):
        RunFolder.create(tmp_path, overwrite=overwrite)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


def test_overwrite_removes_only_what_a_run_writes(tmp_path: Path) -> None:
    kept = tmp_path / "elsewhere"
    kept.mkdir()
    (kept / "plot.png").write_text("mine")
    run = stopped_run(tmp_path / "one")
    run.write_config({"width": 8})
    write_json(run.figures, {})
    write_json(run.diagnosis, {})
    (run.path / "notes.txt").write_text("mine")
    run.plots.symlink_to(kept, target_is_directory=True)
    again = RunFolder.create(run.path, overwrite=True)
    assert sorted(each.name for each in again.path.iterdir()) == ["config.json", "notes.txt"]
    assert "width" not in again.read_config()
    assert (kept / "plot.png").read_text() == "mine"


def test_remove_leaves_what_is_not_of_a_run(tmp_path: Path) -> None:
    run, other = stopped_run(tmp_path / "one"), stopped_run(tmp_path / "two")
    (run.path / ".config.json.abc.part").write_text("{")
    (other.path / "notes.txt").write_text("mine")
    run.remove()
    other.remove()
    assert not run.path.exists()
    assert [each.name for each in other.path.iterdir()] == ["notes.txt"]


def test_what_a_killed_write_left_does_not_count(tmp_path: Path) -> None:
    (tmp_path / ".config.json.abc.part").write_text("{")
    assert RunFolder.create(tmp_path).config.exists()


def test_open_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "emoji-transfer")
    with pytest.raises(RunError, match=r"no run at .*emoji-tranfser; in .* there is emoji-transfer"):
        RunFolder.open(tmp_path / "emoji-tranfser")
    with pytest.raises(RunError, match=r"is not a run folder.*the runs in it are emoji-transfer"):
        RunFolder.open(tmp_path)
    with pytest.raises(RunError, match="`amodal train RECIPE` makes one"):
        RunFolder.open(tmp_path / "none" / "at-all")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": "1"}', '{"schema": true}', '{"schema": 0}'])
def test_open_refuses_a_config_without_schema(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunError, match="is not a run folder"):
        RunFolder.open(tmp_path)


def test_a_newer_schema_is_refused_with_the_way_out(tmp_path: Path) -> None:
    run = stopped_run(tmp_path)
    run.config.write_text(json.dumps({"schema": SCHEMA + 1, "amodal": "9.9"}))
    with pytest.raises(RunError, match=r"amodal 9\.9 \(schema 2\).*pip install --upgrade amodal"):
        RunFolder.open(tmp_path)
    with pytest.raises(RunError, match="newer amodal"):
        RunFolder.create(tmp_path)


def test_json_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "metrics.json"
    write_json(target, {"value": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"value": float("nan")})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        write_json(target, {"value": 2})
    assert read_json(target) == {"value": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["metrics.json"]


def test_default_run_path_counts_up(tmp_path: Path) -> None:
    assert default_run_path("small", tmp_path) == tmp_path / "small"
    RunFolder.create(tmp_path / "small")
    (tmp_path / "small-2").write_text("a file takes the name, too")
    assert default_run_path("small", tmp_path) == tmp_path / "small-3"
    assert default_run_path("../a b", tmp_path) == tmp_path / "a-b"
    assert default_run_path("..", tmp_path) == tmp_path / "run"
