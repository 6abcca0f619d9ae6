"""What a study is: one claim, the settings it is tried on, and a rule, fixed beforehand, that says whether it held.

S seeds · N items (held-out concepts, say)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from amodal.features import FeatureCache
from amodal.metrics import bootstrap_crossed, crossed_mean
from amodal.runs.curves import Chart, Line

Verdict = Literal["holds", "does not hold", "undecided"]
Unit = Literal["%", "points", "nats", ""]
Measured = Mapping[str, Mapping[str, np.ndarray]]
"""setting -> figure -> values (S, N)"""

FEWEST_SEEDS = 5


class Interval(NamedTuple):
    """A value with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Check:
    """One number on which the claim stands: says what it is, and that it lies above or below a limit, or between two.

    unit: "%" and "points" are for shares, which are shown times 100.
    """

    says: str
    found: Interval
    above: float | None = None
    below: float | None = None
    unit: Unit = ""

    @property
    def verdict(self) -> Verdict:
        """holds: the whole interval lies where the claim has it; does not hold: none of it; else undecided."""
        _, low, high = self.found
        if (self.above is None or low > self.above) and (self.below is None or high < self.below):
            return "holds"
        if (self.above is not None and high < self.above) or (self.below is not None and low > self.below):
            return "does not hold"
        return "undecided"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. values: one a seed; difference: to the setting that the study compares with, in pairs."""

    setting: str
    figure: str
    unit: Unit
    values: tuple[float, ...]
    difference: Interval | None = None

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.values))


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a study makes of its measurements. against: what the differences of the table are taken to; notes: further
    sentences with figures; shown: the figures that people are shown a table of, by default the first row's."""

    checks: Sequence[Check]
    rows: Sequence[Row]
    against: str
    chart: Chart
    notes: Sequence[str] = ()
    shown: Sequence[str] = ()


class StudyConfig(BaseModel):
    """What every study may be told with --set. seeds: how often each setting is tried."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: int = Field(default=5, ge=2)


@dataclass(frozen=True)
class Place:
    """Where a study works: the cache of frozen towers' features, and a folder for trainings that are under way."""

    cache: FeatureCache
    scratch: Path


Config = TypeVar("Config", bound=StudyConfig)


class Study(Generic[Config]):
    """A claim and how it is tested. A study is a subclass in a file of its own, with `catalogue` naming it.

    rule: says in words what `conclude` checks; method: on what and how it is measured; cost: for people; tiny: settings
    that are through in seconds. `measure` may be asked in any order and never sees what another call gave.
    """

    name: ClassVar[str]
    claim: ClassVar[str]
    rule: ClassVar[str]
    method: ClassVar[str]
    cost: ClassVar[str]
    config_class: ClassVar[type[StudyConfig]]
    tiny: ClassVar[Mapping[str, Any]]

    def __init__(self, config: Config, place: Place) -> None:
        self.config, self.place = config, place

    def settings(self) -> list[str]:
        """Names of what is compared."""
        raise NotImplementedError

    def measure(self, setting: str, seed: int) -> dict[str, list[float]]:
        """One setting with one seed: figure -> a value an item; the same items for every setting and seed."""
        raise NotImplementedError

    def conclude(self, measured: Measured) -> Findings:
        """The findings, once all is measured."""
        raise NotImplementedError


def verdict_of(checks: Sequence[Check], seeds: int) -> Verdict:
    """The claim holds when every check does, and does not when one does not; from fewer than five seeds nothing is
    concluded."""
    told = {check.verdict for check in checks}
    if seeds < FEWEST_SEEDS or not checks:
        return "undecided"
    if "does not hold" in told:
        return "does not hold"
    return "holds" if told == {"holds"} else "undecided"


def mean_interval(values_SN: np.ndarray) -> Interval:
    """The mean over seeds and items, or of a difference taken in pairs, with its interval."""
    return Interval(*bootstrap_crossed(partial(crossed_mean, values_SN), *values_SN.shape))


def rows_of(measured: Measured, figure: str, unit: Unit, reference: str | None) -> list[Row]:
    """A row a setting, compared with `reference`."""
    rows = []
    for setting, figures in measured.items():
        values_SN = figures[figure]
        against = None
        if reference is not None and setting != reference:
            against = mean_interval(values_SN - measured[reference][figure])
        means = tuple(float(value) for value in values_SN.mean(axis=1))
        rows.append(Row(setting=setting, figure=figure, unit=unit, values=means, difference=against))
    return rows


def line_of(
    measured: Measured, figure: str, names: Sequence[str], x: Sequence[float], reference: str, **look: Any
) -> Line:
    """The means of these settings at x as a line; bars are the intervals of the paired differences to `reference`."""
    level = measured[reference][figure]
    compared = [mean_interval(measured[name][figure] - level) for name in names]
    y, low, high = ([float(level.mean()) + bound for bound in bounds] for bounds in zip(*compared, strict=True))
    return Line(x=x, y=y, low=low, high=high, **look)
