"""Findings about captions: empty, short, cut by the context, said of several pictures or on both sides of a split."""

from collections import Counter
from collections.abc import Iterator, Sequence

from amodal.audit.findings import Case, Finding, by_pair, case_of
from amodal.audit.pictures import splits_of
from amodal.audit.wording import many
from amodal.data.languages import script_of
from amodal.data.rows import Row, Table
from amodal.data.tokenizers import WordsToIds

SHORT = 3
"""Letters and digits that a caption should have at least; one sign of Chinese, Japanese or Korean is a word."""

_WHOLE_WORDS = {"CJK", "Hiragana", "Katakana", "Hangul"}
_TEXTS_AT_ONCE = 8192


def caption_groups(rows: Sequence[Row]) -> dict[str, list[int]]:
    """Caption, whatever its spaces and capitals -> the rows it is said of, where these are several."""
    said: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        for text in {" ".join(caption.split()).casefold() for caption in row.captions}:
            said.setdefault(text, []).append(number)
    return {text: numbers for text, numbers in said.items() if len(numbers) > 1}


def caption_findings(table: Table, tokenizer: WordsToIds, english_only: bool) -> Iterator[Finding]:
    """What single captions are found to be. english_only: whether they will be read by the packaged text tower."""
    rows = table.rows
    empty = tuple(Case((key,), (), why) for key, why in table.skipped.entries if why.startswith("empty caption"))
    if empty:
        yield Finding(
            kind="empty-captions",
            severity="problem",
            title="Empty captions",
            said=f"{many(len(empty), 'row')} without a caption; left out.",
            advice="Write captions for them, or remove the rows.",
            cases=empty,
        )
    if table.classes is None:  # the name of a class may be as short as it likes
        yield from _short(rows)
    yield from _long(rows, tokenizer)
    foreign = [case_of(rows, [n], text) for n, text in _texts(rows) if script_of(text) not in ("Latin", "none")]
    if english_only and foreign:
        yield Finding(
            kind="foreign-scripts",
            severity="warning",
            title="Captions in other scripts",
            said=f"{many(len(foreign), 'caption')} not in Latin letters; the packaged text tower knows English.",
            advice="Train with a text tower that knows the language: model.text.tower=huggingface and its source.",
            cases=tuple(foreign),
        )


def same_caption_findings(table: Table, groups: dict[str, list[int]]) -> Iterator[Finding]:
    """Captions said of several pictures, and those of them that stand in two splits."""
    rows, by_class = table.rows, table.classes is not None
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    cases = [case_of(rows, numbers, text) for text, numbers in ordered]
    leaked = tuple(case for case in cases if len(splits_of(rows, case.rows)) > 1)
    if leaked and not by_class:
        yield Finding(
            kind="leaked-captions",
            severity="warning",
            title="The same caption across splits",
            said=f"{many(len(leaked), 'caption')} in more than one split.",
            advice="Split by caption, or leave the split column out: amodal then keeps each caption on one side.",
            cases=leaked,
        )
    strangers, friends = by_pair(rows, cases)
    if not cases:
        return
    known = f" {len(friends):,} of them name pictures of one pair only, which are taken for positives."
    yield Finding(
        kind="duplicate-captions",
        severity="warning" if strangers and not by_class else "note",
        title="One caption for several pictures",
        said=f"{many(len(cases), 'caption')} said of several pictures, at most of {max(len(c.rows) for c in cases):,}."
        + (known if friends else ""),
        advice="Say what tells the pictures apart: a batch that holds two of them pushes one from its own caption."
        if strangers
        else "Nothing has to be done: training knows that they belong together.",
        cases=tuple(strangers + friends),
    )


def count_scripts(rows: Sequence[Row]) -> dict[str, int]:
    """Script -> captions in it, the most frequent first."""
    return dict(Counter(script_of(text) for _, text in _texts(rows)).most_common())


def _short(rows: Sequence[Row]) -> Iterator[Finding]:
    short = tuple(case_of(rows, [n], repr(text)) for n, text in _texts(rows) if _says_nothing(text))
    if short:
        yield Finding(
            kind="short-captions",
            severity="warning",
            title="Captions that say nothing",
            said=f"{many(len(short), 'caption')} with less than {SHORT} letters and digits, or none of them a letter.",
            advice="Write what is on the picture, or remove the row.",
            cases=short,
        )


def _says_nothing(text: str) -> bool:
    if not any(sign.isalpha() for sign in text):
        return True
    return sum(sign.isalnum() for sign in text) < SHORT and script_of(text) not in _WHOLE_WORDS


def _long(rows: Sequence[Row], tokenizer: WordsToIds) -> Iterator[Finding]:
    texts, context = list(_texts(rows)), tokenizer.context_length
    over: list[tuple[int, int]] = []
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        part = texts[start : start + _TEXTS_AT_ONCE]
        lengths = tokenizer.lengths([text for _, text in part])
        over += [(length, number) for length, (number, _) in zip(lengths, part, strict=True) if length > context]
    over.sort(key=lambda each: -each[0])
    if over:
        yield Finding(
            kind="long-captions",
            severity="warning",
            title="Captions longer than the context",
            said=f"{len(over):,} of {many(len(texts), 'caption')} cut at {context} tokens; the longest has "
            f"{over[0][0]:,}.",
            advice="Put what matters first, split them into several captions, or raise model.text.context_length.",
            cases=tuple(case_of(rows, [number], f"{length:,} tokens") for length, number in over),
        )


def _texts(rows: Sequence[Row]) -> Iterator[tuple[int, str]]:
    return ((number, text) for number, row in enumerate(rows) for text in row.captions)
