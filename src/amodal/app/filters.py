"""Filters that strangers may send: comparisons of attributes with values, and nothing that computes.

A filter goes to the database as SQL. It cannot change anything there, but functions could be made to take all memory.
"""

import re
from collections.abc import Iterable

from amodal.app.refusals import Refused

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^']|'')*') | (?P<quoted>"[^"]+"|`[^`]+`) | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+) |
    (?P<word>[^\W\d]\w*) | (?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,|-)
    )""",
    re.VERBOSE,
)
_WORDS = frozenset(
    [
        "and",
        "or",
        "not",
        "in",
        "is",
        "null",
        "like",
        "ilike",
        "between",
        "true",
        "false",
        "date",
        "timestamp",
        "cast",
        "as",
        "double",
        "float",
        "int",
        "bigint",
        "string",
        "lower",
        "upper",
        "array_has",
        "array_contains",
        "array_length",
        "length",
    ]
)


DEPTH = 8
"""Parentheses within each other; what reads them takes twice as long for each further one."""


def check_filter(where: str, attributes: Iterable[str], characters: int) -> None:
    """Raises Refused for a filter that is too long, or holds anything but attributes, values, comparisons and a few
    simple functions."""
    if len(where) > characters:
        raise Refused(413, f"the filter has {len(where):,} characters and {characters:,} are allowed", "where")
    known, place, depth = {*attributes, "path", "source", "content"}, 0, 0
    while where[place:].strip():
        found = _TOKEN.match(where, place)
        if found is None:
            raise Refused(422, f"the filter cannot be read at {where[place : place + 20]!r}", "where")
        name = found["word"] or (found["quoted"] or "")[1:-1]
        if name and name not in known and (found["quoted"] or name.lower() not in _WORDS):
            raise Refused(
                422,
                f"the filter asks for {name!r}; there is {', '.join(sorted(known))}, AND, OR, NOT, IN, LIKE, "
                "BETWEEN, IS NULL and array_has(captions, 'text')",
                "where",
            )
        depth += {"(": 1, ")": -1}.get(found["sign"] or "", 0)
        if depth > DEPTH:
            raise Refused(422, f"the filter has more than {DEPTH} parentheses within each other", "where")
        place = found.end()
