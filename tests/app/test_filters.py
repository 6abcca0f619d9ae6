"""Filters of strangers: comparisons pass, what computes does not."""

import pytest

from amodal.app.filters import check_filter
from amodal.app.refusals import Refused

ATTRIBUTES = ("year", "camera", "captions", "Shelf No", "taken")


@pytest.mark.parametrize(
    "where",
    [
        "",
        "year > 2015 AND camera LIKE 'Canon%'",
        "year BETWEEN 2010 AND 2.0e3 or not (year in (1, 2, -3))",
        "`Shelf No` = 'B 4'",
        "camera IS NOT NULL",
        "camera = 'it''s; drop table'",
        "array_has(captions, 'a dog')",
        "lower(camera) = 'canon'",
        "taken >= timestamp '2020-01-01 00:00:00'",
    ],
)
def test_comparisons_pass(where: str) -> None:
    check_filter(where, ATTRIBUTES, 200)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("length(repeat('a', 2000000000)) > 1", "'repeat'"),
        ("price > 3", "'price'"),
        ("year > 2015; drop table x", "cannot be read at"),
        ("year > 2015 -- nothing", "'nothing'"),
        ("year in (select year from pictures)", "'select'"),
        ("camera = 'open", "cannot be read at"),
        ("camera ~ '(a+)+$'", "cannot be read at"),
        ("year > 1 /* */", "cannot be read at"),
        ("\0", "cannot be read at"),
        ("not(" * 9 + "true" + ")" * 9, "more than 8 parentheses"),
        ("year > 1 " * 30, "270 characters and 200 are allowed"),
    ],
)
def test_the_rest_does_not(where: str, said: str) -> None:
    with pytest.raises(Refused, match="filter") as refused:
        check_filter(where, ATTRIBUTES, 200)
    assert said in refused.value.message
    assert refused.value.field == "where"
