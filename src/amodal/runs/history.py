"""metrics.csv: what was logged while a run went on, one row a logged step or validation."""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from amodal.core.errors import RunError
from amodal.core.files import atomic_write

COLUMNS = ("step", "epoch", "loss", "bound", "logit_scale", "learning_rate", "seconds")
"""The columns that every file begins with.

bound: the lower bound on the mutual information, ln(batch) - loss, in nats; logit_scale: the logarithm, as everywhere;
seconds: since the start of the run. Validation figures follow as `validation/image_to_text/R@1` and their chance level
as `validation/image_to_text/R@1/chance`.
"""


class History:
    """Rows of named numbers in a CSV file that grows. One process writes it.

    A row is appended in one write, so a killed run leaves whole rows and at most one torn end, which is never read and
    is cut off before the next row. A column that appears later rewrites the file atomically.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._columns: list[str] | None = None

    def append(self, row: Mapping[str, float]) -> None:
        """Adds a row; a column that it lacks stays empty. Raises ValueError for a row without `step`."""
        if "step" not in row:
            raise ValueError(f"a row of the history needs `step`; got {', '.join(row) or 'nothing'}")
        if self._columns is None:
            self._columns = self._repaired()
        columns = self._columns or list(COLUMNS)
        new = [name for name in row if name not in columns]
        if new or not self._columns:
            self._rewrite([*columns, *new], [*self.read(), row])
            return
        with self.path.open("a", encoding="utf-8", newline="") as stream:
            stream.write(_line(_cells(row, columns)))

    def read(self) -> list[dict[str, float]]:
        """Every row with the columns that it has, in order; nothing when there is no file yet.

        Raises RunError for a row that is not of this file, with its line.
        """
        columns, rows, _ = self._parse()
        return [{name: value for name, value in zip(columns, row, strict=True) if value is not None} for row in rows]

    def truncate(self, step: int) -> None:
        """Drops the rows after `step`: what a run logged after the checkpoint that it now resumes from."""
        self._columns = self._repaired()
        rows = self.read()
        kept = [row for row in rows if row["step"] <= step]
        if len(kept) < len(rows):
            self._rewrite(self._columns, kept)

    def record(self, row: Mapping[str, float]) -> None:
        """Adds a row in place of those from its step on, which a run left that stopped after its checkpoint."""
        self.truncate(int(row["step"]) - 1)
        self.append(row)

    def _rewrite(self, columns: list[str], rows: Iterable[Mapping[str, float]]) -> None:
        lines = [_line(columns), *(_line(_cells(row, columns)) for row in rows)]
        atomic_write(self.path, "".join(lines))
        self._columns = columns

    def _repaired(self) -> list[str]:
        """The columns (none when there is no file yet), after a torn last line was cut off."""
        columns, _, whole = self._parse()
        if self.path.exists() and whole < self.path.stat().st_size:
            os.truncate(self.path, whole)
        return columns

    def _parse(self) -> tuple[list[str], list[list[float | None]], int]:
        """-> columns, rows, and how many bytes are whole lines."""
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        lines = csv.reader(io.StringIO(whole.decode("utf-8"), newline=""))
        columns = next(lines, [])
        rows = [self._numbers(cells, len(columns), number) for number, cells in enumerate(lines, start=2)]
        return columns, rows, len(whole)

    def _numbers(self, cells: list[str], count: int, number: int) -> list[float | None]:
        try:
            row = [float(cell) if cell else None for cell in cells]
        except ValueError as error:
            raise RunError(f"{self.path}, line {number}: {error}; mend or remove that line") from error
        if len(row) != count or row[0] is None:
            raise RunError(
                f"{self.path}, line {number}: {len(row)} cells where the head has {count}, or no step; "
                "mend or remove that line"
            )
        return row


def _cells(row: Mapping[str, float], columns: list[str]) -> list[str]:
    values = (row.get(name) for name in columns)
    return ["" if value is None else _number(float(value)) for value in values]


def _number(value: float) -> str:
    """Text that reads back as the same float; whole numbers (steps, epochs) without a point."""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _line(cells: list[str]) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()
