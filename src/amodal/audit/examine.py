"""The whole examination: every picture measured once, every caption read, and what was found put together."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from amodal.audit.batches import false_negatives
from amodal.audit.captions import caption_findings, caption_groups, count_scripts, same_caption_findings
from amodal.audit.findings import SEVERITIES, Examination, FalseNegatives, Finding
from amodal.audit.measure import Measured, measure_pictures
from amodal.audit.near import Groups
from amodal.audit.pictures import Same, picture_findings, same_picture_findings, same_pictures
from amodal.audit.suspects import suspicious_pairs
from amodal.data.languages import count_languages
from amodal.data.rows import Row, Table
from amodal.data.tokenizers import Tokenizer, load_tokenizer
from amodal.inference import Model
from amodal.recipes import load_recipe
from amodal.towers import packaged_text_folder


def examine(table: Table, *, model: Model | None = None, workers: int = 0) -> Examination:
    """Looks for what would spoil training on `table`, or the figures after it.

    Pictures are decoded once, small, in `workers` processes beside this one (0: in this one), and none is held. With a
    model, captions are counted in its tokens, and pairs that it doubts are ranked; without, in those of the packaged
    text tower. Broken inputs are findings; open the table with `max_skipped=1.0` so that they do not stop it.
    """
    measured = measure_pictures(table.rows, workers)
    same = same_pictures(measured)
    findings = [*picture_findings(table, measured), *same_picture_findings(table, measured, same)]
    texts: dict[str, list[int]] = {}
    if table.captioned:
        texts = caption_groups(table.rows)
        tokenizer = _packaged_tokenizer() if model is None else model.encoder.tokenizer
        findings += caption_findings(table, tokenizer, english_only=model is None)
        findings += same_caption_findings(table, texts)
        if model is not None:
            findings += suspicious_pairs(table.rows, measured.readable.tolist(), model)
    said = [text for row in table.rows for text in row.captions] if table.captioned else []
    return Examination(
        name=table.name,
        rows=len(table),
        captions=len(said),
        splits=_splits(table.rows),
        sizes=_sizes(measured),
        scripts=count_scripts(table.rows) if said else {},
        languages=count_languages(said),
        false_negatives=_in_batches(table, measured, same, texts) if said else (),
        findings=_by_severity(findings),
    )


def _packaged_tokenizer() -> Tokenizer:
    """As the default recipe reads captions."""
    context = load_recipe("transfer").model.text.context_length
    return load_tokenizer(packaged_text_folder(), context_length=context)


def _in_batches(
    table: Table, measured: Measured, same: Same, texts: dict[str, list[int]]
) -> tuple[FalseNegatives, ...]:
    """Of the readable training rows, or of all where no split is called so."""
    groups = Groups(len(table))
    for members in (*same.exact, *same.near):
        for number in members[1:]:
            groups.join(members[0], number)
    looks = [groups.find(number) for number in range(len(table))]
    readable = measured.readable.tolist()
    trained = [number for number in readable if _is_trained_on(table.rows[number])]
    return false_negatives(table.rows, trained or readable, looks, texts)


def _is_trained_on(row: Row) -> bool:
    return row.attributes.get("split", "train").lower() in ("train", "training")


def _splits(rows: Sequence[Row]) -> dict[str, int]:
    return dict(Counter(row.attributes["split"].lower() for row in rows if row.attributes.get("split")))


def _sizes(measured: Measured) -> dict[str, tuple[int, int]]:
    """(width, height) of the smallest, the median and the largest picture by area."""
    seen = measured.size[measured.readable]
    if len(seen) == 0:
        return {}
    order = np.argsort(seen.astype(np.int64).prod(axis=1), kind="stable")
    places = {"smallest": order[0], "median": order[len(order) // 2], "largest": order[-1]}
    return {name: (int(seen[place][0]), int(seen[place][1])) for name, place in places.items()}


def _by_severity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
