"""An examination in words, for the terminal and for the page."""

from collections.abc import Mapping

from amodal.audit.findings import SEVERITIES, Examination, FalseNegatives

_SHOWN = 6


def many(count: int, what: str) -> str:
    """ "1 picture", "2 pictures" """
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def headline(found: Examination) -> str:
    """How much was looked at, and how grave the findings are."""
    counted = [many(number, severity) for severity in SEVERITIES if (number := found.count(severity))]
    said = f" with {many(found.captions, 'caption')}" if found.captions else ", no captions"
    return f"{many(found.rows, 'picture')}{said}: {', '.join(counted) or 'nothing found'}"


def facts(found: Examination) -> list[str]:
    """What is worth knowing of any source, a line each."""
    lines = []
    if found.splits:
        lines.append("splits: " + ", ".join(f"{name} {rows:,}" for name, rows in found.splits.items()))
    if found.sizes:
        sizes = (f"{name} {width:,} × {height:,}" for name, (width, height) in found.sizes.items())
        lines.append("sizes in pixels: " + ", ".join(sizes))
    if found.scripts:
        lines.append("scripts: " + _shares(found.scripts))
    if found.languages:
        lines.append(f"languages, of {sum(found.languages.values()):,} captions: " + _shares(found.languages))
    if found.false_negatives:
        # the size that most people train with, as far as the set has it
        usual = min(found.false_negatives, key=lambda each: abs(each.batch - 512))
        lines.append(batch_line(usual))
    return lines


def batch_line(each: FalseNegatives) -> str:
    """What a batch of one size holds."""
    line = f"a batch of {each.batch:,} holds {number(each.left)} false negatives on average"
    known = each.blind - each.left
    return line + (f"; {number(known)} more are known by their pair, so not pushed apart" if known else "")


def number(value: float) -> str:
    """A mean count as people read it: 0, 0.034, 2.5, 1,234."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.1f}"


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    shown = [f"{name} {count / total:.1%}" for name, count in list(counts.items())[:_SHOWN] if count / total >= 0.0005]
    return ", ".join(shown) + (f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")
