"""Findings about pictures: broken, blank, tiny, huge, long and thin ones; the same one twice, or across splits.

N pictures
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from amodal.audit.findings import Case, Finding, by_pair, case_of
from amodal.audit.measure import Measured
from amodal.audit.near import Groups, near_pairs
from amodal.audit.wording import many
from amodal.data.rows import Row, Table

TINY = 32
"""Pixels of the shorter side below which a picture is tiny."""

HUGE = 25_000_000
"""Pixels beyond which reading a picture takes long."""

THIN = 4.0
"""Times that the longer side may be the shorter one."""

BLANK = 1.0
"""Grey levels of standard deviation below which there is nothing on a picture."""

_ASIDE = ("duplicate row", "empty caption")


@dataclass(frozen=True)
class Same:
    """Groups of rows with the same picture. exact: byte for byte; near: these and those that look the same.

    agreement: of each near group, the lowest that joined two of its members.
    """

    exact: list[list[int]]
    near: list[list[int]]
    agreement: list[float]


def same_pictures(measured: Measured) -> Same:
    """Finds them; of pictures with the same bytes one is compared with others."""
    first_of: dict[bytes, int] = {}
    exact, near = Groups(len(measured.size)), Groups(len(measured.size))
    for number in measured.readable.tolist():
        first = first_of.setdefault(measured.content[number].tobytes(), number)
        exact.join(first, number)
        near.join(first, number)
    edges = list(near_pairs(measured.looks, np.fromiter(first_of.values(), dtype=np.int64)))
    for one, two, _ in edges:
        near.join(one, two)
    lowest: dict[int, float] = {}
    for one, _, agreement in edges:
        group = near.find(one)
        lowest[group] = min(agreement, lowest.get(group, 1.0))
    groups = [group for group in near.members() if near.find(group[0]) in lowest]
    groups.sort(key=lambda group: -lowest[near.find(group[0])])  # the surest first
    return Same(exact.members(), groups, [lowest[near.find(group[0])] for group in groups])


def picture_findings(table: Table, measured: Measured) -> Iterator[Finding]:
    """What single pictures are found to be."""
    yield from _unusable(table, measured)
    width, height = measured.size.T.astype(np.int64)
    short, long = np.minimum(width, height), np.maximum(width, height)
    seen = np.isin(np.arange(len(short)), measured.readable)

    def cases(where: np.ndarray, order: np.ndarray) -> tuple[Case, ...]:
        found = np.flatnonzero(where & seen)
        worst_first = found[np.argsort(order[found], kind="stable")].tolist()
        return tuple(case_of(table.rows, [n], f"{width[n]:,} × {height[n]:,} pixels") for n in worst_first)

    blank = cases(measured.looks.deviation < BLANK, measured.looks.deviation)
    tiny, thin = cases(short < TINY, short), cases(long > THIN * short, -long / short.clip(1))
    huge = cases(width * height > HUGE, -width * height)
    if blank:
        yield Finding(
            kind="blank-pictures",
            severity="warning",
            title="Blank pictures",
            said=f"{many(len(blank), 'picture')} of one colour only.",
            advice="Remove them, or copy them again: often a download that failed.",
            cases=blank,
        )
    if tiny:
        yield Finding(
            kind="tiny-pictures",
            severity="warning",
            title="Tiny pictures",
            said=f"{many(len(tiny), 'picture')} less than {TINY} pixels high or wide.",
            advice="Remove them, or take larger ones: a tower sees them enlarged and blurred.",
            cases=tiny,
        )
    if thin:
        yield Finding(
            kind="thin-pictures",
            severity="warning",
            title="Long and thin pictures",
            said=f"{many(len(thin), 'picture')} more than {THIN:g} times as long as wide.",
            advice="Cut out what the caption means: a tower sees the middle, or all of it squeezed.",
            cases=thin,
        )
    if huge:
        yield Finding(
            kind="huge-pictures",
            severity="note",
            title="Huge pictures",
            said=f"{many(len(huge), 'picture')} of more than {HUGE // 1_000_000} megapixels.",
            advice="Shrink them once: towers look at a few hundred pixels, and reading these takes most of the time.",
            cases=huge,
        )


def same_picture_findings(table: Table, measured: Measured, same: Same) -> Iterator[Finding]:
    """Pictures that are there twice, and those of them that stand in two splits."""
    rows = table.rows
    halves = measured.content
    agree = [f"agreement {agreement:.2f}" for agreement in same.agreement]
    for name, groups, notes in (("", same.exact, ["the same bytes"] * len(same.exact)), ("near-", same.near, agree)):
        words = "Near-duplicate pictures" if name else "Duplicate pictures"
        what = "look the same (compressed, resized, slightly cut or brightened anew)" if name else "are the same file"
        cases = [case_of(rows, group, note) for group, note in zip(groups, notes, strict=True)]
        leaked = [case for case in cases if len(splits_of(rows, case.rows)) > 1]
        if name:  # those that are the same file are told already
            leaked = [case for case in leaked if len({halves[number].tobytes() for number in case.rows}) > 1]
        if leaked:
            yield Finding(
                kind=f"leaked-{name}pictures",
                severity="problem",
                title=f"{words} across splits",
                said=f"{many(len(leaked), 'group')} of pictures that look the same, in more than one split."
                if name
                else f"{many(len(leaked), 'picture')} in more than one split, byte for byte.",
                advice=(
                    "Look at them: a copy belongs in the split of the other one, and things that are only drawn alike, "
                    "as many flags are, may stay. Figures"
                    if name
                    else "Keep each picture in one split: figures"
                )
                + " on a test picture that was trained on are too good.",
                cases=tuple(leaked),
            )
        if cases:
            yield _repeated(rows, cases, f"{name}duplicate-pictures", words, what)


def _repeated(rows: Sequence[Row], cases: list[Case], kind: str, title: str, what: str) -> Finding:
    """One finding; groups whose rows training takes for strangers come first, and make it a warning."""
    strangers, friends = by_pair(rows, cases)
    spare = sum(len(case.rows) - 1 for case in cases)
    known = f" {len(friends):,} of the groups share their pair and are taken for positives." if friends else ""
    return Finding(
        kind=kind,
        severity="warning" if strangers else "note",
        title=title,
        said=f"{many(len(cases), 'group')} of pictures that {what}; {spare:,} could go.{known}",
        advice="Keep one of each with all its captions: what training takes for strangers it pushes apart."
        if strangers
        else "Nothing has to be done: they only cost time.",
        cases=tuple(strangers + friends),
    )


def _unusable(table: Table, measured: Measured) -> Iterator[Finding]:
    said = [Case((key,), (), why) for key, why in table.skipped.entries if not why.startswith(_ASIDE)]
    seen = [case_of(table.rows, [number], why) for number, why in measured.broken.items()]
    if said or seen:
        yield Finding(
            kind="broken",
            severity="problem",
            title="Broken or missing inputs",
            said=f"{many(len(said) + len(seen), 'input')} that cannot be used.",
            advice="Mend or remove them; training leaves them out, and stops beyond the share data.max_skipped.",
            cases=tuple(said + seen),
        )
    repeated = [Case((key,), (), why) for key, why in table.skipped.entries if why.startswith(_ASIDE[0])]
    if repeated:
        yield Finding(
            kind="duplicate-rows",
            severity="note",
            title="Duplicate rows",
            said=f"{many(len(repeated), 'row')} with picture and caption of an earlier one; read once.",
            advice="Nothing has to be done.",
            cases=tuple(repeated),
        )


def splits_of(rows: Sequence[Row], numbers: Sequence[int]) -> set[str]:
    """The splits that rows stand in; those that say none are left out."""
    return {rows[number].attributes.get("split", "").lower() for number in numbers} - {""}
