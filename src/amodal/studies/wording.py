"""How a study's numbers are said to people: with sign, unit and interval."""

from amodal.studies.study import Check, Interval, Unit

SPACE = "\u00a0"  # does not break
_MINUS = "\u2212"


def number(value: float, unit: Unit, *, signed: bool = False) -> str:
    """A value with its unit: shares in per cent or points with one digit, nats with three behind the point, anything
    else with three digits."""
    sign = "+" if signed else ""
    if unit in ("%", "points"):
        said = f"{100 * value:{sign}.1f}"
    elif unit == "nats":
        said = f"{value:{sign}.3f}"
    else:
        said = f"{value:{sign}.3g}" if abs(value) < 100 else f"{value:{sign},.0f}"
    return (said + (SPACE + unit if unit else "")).replace("-", _MINUS)


def interval(found: Interval, unit: Unit, *, signed: bool = False) -> str:
    """A value, and in brackets the bounds of its 95 % interval."""
    bare = [number(bound, unit, signed=signed).removesuffix(SPACE + unit) for bound in (found.low, found.high)]
    return f"{number(found.value, unit, signed=signed)} ({bare[0]} to {bare[1]})"


def wanted(check: Check) -> str:
    """What the claim asks of a check's number."""
    above = None if check.above is None else number(check.above, check.unit)
    below = None if check.below is None else number(check.below, check.unit)
    if above and below:
        return f"between {above} and {below}"
    return f"above {above}" if above else f"below {below}"
