"""The folder that a recipe leaves behind: what lies where in it, how it is begun and how it is opened again."""

import difflib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amodal import __version__
from amodal.core.errors import RunError
from amodal.core.files import atomic_write

SCHEMA = 1
"""The layout that this version writes. A folder with a higher number was written by a newer amodal."""

RUNS = Path("runs")


class RunFolder:
    """Names of everything in a run folder. Touches no file until it is asked to; `create` and `open` check."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def recipe(self) -> Path:
        """The whole recipe as it was run, every default filled in."""
        return self.path / "recipe.yaml"

    @property
    def weights(self) -> Path:
        """The best weights, by the validation figure that the recipe names."""
        return self.path / "model.safetensors"

    @property
    def config(self) -> Path:
        """What the model is built from, and the schema and version that wrote the folder."""
        return self.path / "config.json"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer, where the text tower has one of its own."""
        return self.path / "tokenizer.json"

    @property
    def history(self) -> Path:
        """One row a logged step or validation; see `History`."""
        return self.path / "metrics.csv"

    @property
    def figures(self) -> Path:
        """The final figures: the object that `amodal evaluate --json` prints."""
        return self.path / "metrics.json"

    @property
    def card(self) -> Path:
        """The run card for programs; see `RunCard`."""
        return self.path / "card.json"

    @property
    def card_text(self) -> Path:
        """The run card for people."""
        return self.path / "card.md"

    @property
    def calibration(self) -> Path:
        """What its scores mean, by kind of query; see `amodal.search.Calibration`."""
        return self.path / "calibration.json"

    @property
    def report(self) -> Path:
        """The report: one page that needs nothing beside it."""
        return self.path / "report.html"

    @property
    def plots(self) -> Path:
        """The folder of the report's plots, as PNG."""
        return self.path / "plots"

    @property
    def diagnosis(self) -> Path:
        """What was seen to go wrong in training; see `Finding`."""
        return self.path / "diagnosis.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of states that training goes on from."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """The latest checkpoint."""
        return self.checkpoints / "last"

    @property
    def skipped(self) -> Path:
        """Inputs that were left out, each with its reason."""
        return self.path / "skipped.json"

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its final figures."""
        return self.figures.is_file()

    @property
    def is_resumable(self) -> bool:
        """Whether the run stopped on its way and left a checkpoint of a schema that this version reads."""
        schema = _schema(self.config)
        return schema is not None and schema <= SCHEMA and self.last.exists() and not self.is_finished

    @property
    def is_unbegun(self) -> bool:
        """Whether the run stopped before it had weights or a checkpoint: nothing in it is worth keeping."""
        schema = _schema(self.config)
        kept = (self.weights, self.last, self.figures)
        return schema is not None and schema <= SCHEMA and not any(path.exists() for path in kept)

    @classmethod
    def create(cls, path: Path | str, *, overwrite: bool = False) -> "RunFolder":
        """A folder to run in: new, empty, or one whose run stopped and can be resumed.

        overwrite: empties a folder that holds a run first. It removes what a run writes and nothing else, and never
        touches a folder that is not a run. Raises RunError for a folder that holds anything else.
        """
        run = cls(path)
        occupied = _is_occupied(run.path)
        if occupied and overwrite and _schema(run.config) is not None:
            run._clear()
        elif occupied and not run.is_resumable:
            raise RunError(run._why_occupied())
        if not run.config.exists():
            _guarded(run.path, lambda: run.write_config({}))
        return run

    @classmethod
    def open(cls, path: Path | str) -> "RunFolder":
        """The run in `path`. Raises RunError when there is none, or a newer amodal wrote it."""
        run = cls(path)
        if not run.path.exists():
            raise RunError(f"there is no run at {run.path}{_runs_beside(run.path)}")
        schema = _schema(run.config)
        if schema is None:
            raise RunError(
                f"{run.path} is not a run folder: it has no config.json with a schema number{_runs_inside(run.path)}"
            )
        if schema > SCHEMA:
            raise RunError(
                f"{run.path} was written by amodal {run.read_config().get('amodal', '(unknown version)')} (schema "
                f"{schema}); this is amodal {__version__}, which reads up to schema {SCHEMA}: "
                "pip install --upgrade amodal"
            )
        return run

    def sweep(self) -> None:
        """Removes what killed writes left over."""
        for folder in (self.path, self.checkpoints, self.plots):
            for part in folder.glob(".*.part"):
                part.unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes what a run writes, and the folder unless it holds something else."""
        self.sweep()
        self._clear()
        if not _is_occupied(self.path):
            _guarded(self.path, self.path.rmdir)

    def drop_checkpoints(self) -> None:
        """Removes the states that training goes on from; a finished run does not need them."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def read_config(self) -> dict[str, Any]:
        """What config.json holds, the schema and version among it. Raises RunError when it cannot be read."""
        return read_json(self.config)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Writes config.json: `config` under the schema and the version that writes it."""
        write_json(self.config, {**config, "schema": SCHEMA, "amodal": __version__})

    def _clear(self) -> None:
        files = (self.recipe, self.weights, self.tokenizer, self.history, self.figures, self.card, self.card_text)
        # config.json goes last: a folder that was half emptied when the power went is still known to be a run.
        for target in (
            *files,
            self.report,
            self.calibration,
            self.skipped,
            self.diagnosis,
            self.plots,
            self.checkpoints,
            self.config,
        ):
            if target.is_dir() and not target.is_symlink():
                _guarded(target, lambda folder=target: shutil.rmtree(folder))
            else:
                _guarded(target, lambda file=target: file.unlink(missing_ok=True))

    def _why_occupied(self) -> str:
        way_out = "give another folder (--out), or remove this one"
        if not self.path.is_dir():
            return f"{self.path} is a file; a run needs a folder: give another path (--out)"
        schema = _schema(self.config)
        if schema is None:
            return f"{self.path} holds files and is not a run; nothing in it was touched: give another folder (--out)"
        if schema > SCHEMA:
            return f"{self.path} holds a run of a newer amodal (schema {schema}): {way_out}"
        if self.is_finished:
            return f"{self.path} already holds a finished run: {way_out}"
        go_on = f"go on with it (amodal train --resume {self.path}), " if self.recipe.exists() else ""
        return f"{self.path} holds a run that stopped before its first checkpoint: {go_on}{way_out}"


def default_run_path(name: str, root: Path = RUNS) -> Path:
    """The first of `root`/NAME, `root`/NAME-2, `root`/NAME-3 ... that is not taken; creates nothing.

    Characters of `name` that some file system refuses become "-".
    """
    name = re.sub(r"[^\w.+=-]+", "-", name).strip("-.") or "run"
    path, number = root / name, 1
    while _is_occupied(path):
        number += 1
        path = root / f"{name}-{number}"
    return path


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all. NaN is refused: other languages cannot read it."""
    atomic_write(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises RunError when it is missing, unreadable or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); the run folder is incomplete: train again") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} holds no JSON object; the run folder is damaged: train again")
    return value


def _schema(config: Path) -> int | None:
    try:
        schema = read_json(config).get("schema")
    except RunError:
        return None
    return schema if isinstance(schema, int) and not isinstance(schema, bool) and schema >= 1 else None


def _is_occupied(path: Path) -> bool:
    """Whether something lies there; what a killed atomic write left over does not count."""
    if not path.is_dir():
        return path.exists() or path.is_symlink()
    names = _guarded(path, lambda: [each.name for each in path.iterdir()])
    return any(not (name.startswith(".") and name.endswith(".part")) for name in names)


def _runs_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(each.name for each in folder.iterdir() if _schema(each / "config.json") is not None)


def _runs_beside(path: Path) -> str:
    runs = _runs_in(path.parent)
    near = difflib.get_close_matches(path.name, runs, n=3, cutoff=0.4) or runs[:3]
    if not near:
        return "; `amodal train RECIPE` makes one"
    return f"; in {path.parent} there is {', '.join(near)}"


def _runs_inside(path: Path) -> str:
    runs = _runs_in(path)
    return f"; the runs in it are {', '.join(runs[:5])}: give one of them" if runs else ""


def _guarded(path: Path, action: Any) -> Any:
    try:
        return action()
    except OSError as error:
        raise RunError(f"{path} cannot be used ({error.strerror or error}); check its permissions") from error
