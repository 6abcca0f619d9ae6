"""The pool: who may stand together, and the held-out combinations, fixed by a hash."""

import numpy as np
import pytest

from amodal.core.errors import UsageError
from amodal.data.bundled import languages
from amodal.data.scenes import HELD_OUT_SHARE, load_pool

POOL = load_pool()
PAIRS = ["guide dog", "cat face", "leopard", "mouse face"]
LEFT_OF = ["cow", "hatching chick", "lady beetle", "pea pod"]


def place(name: str) -> int:
    return POOL.names.index(name)


def test_every_split_has_concepts_and_every_concept_both_styles() -> None:
    assert {side: len(POOL.members(side)) > 50 for side in ("train", "validation", "test")} == dict.fromkeys(
        ("train", "validation", "test"), True
    )
    assert len(POOL.ids) == len(set(POOL.ids)) == len(set(POOL.names)) > 500
    assert all(set(styles) == {"noto", "twemoji"} for styles in POOL.pictures)


def test_names_of_one_language_are_never_shared_by_two_that_may_stand_together() -> None:
    for language in languages():
        places: dict[str, list[int]] = {}
        for index, name in enumerate(POOL.names_in(language)):
            places.setdefault(name.casefold(), []).append(index)
        for same in places.values():
            assert POOL.clash[np.ix_(same, same)].all(), (language, [POOL.names[index] for index in same])


@pytest.mark.parametrize(
    ("one", "other"),
    [("cat", "cat face"), ("red apple", "green apple"), ("bird", "eagle"), ("camel", "two-hump camel"), ("cat", "cat")],
)
def test_what_could_be_taken_for_each_other_clashes(one: str, other: str) -> None:
    assert POOL.clash[place(one), place(other)]
    assert POOL.clash[place(other), place(one)]


def test_most_concepts_may_stand_together() -> None:
    assert not POOL.clash[place("cat"), place("dog")]
    assert POOL.clash.mean() < 0.02


def test_held_out_shares_and_directions() -> None:
    assert abs(POOL.held_pairs.mean() - HELD_OUT_SHARE) < 0.005
    assert abs(POOL.held_counts[:, 2:5].mean() - HELD_OUT_SHARE) < 0.02
    assert not POOL.held_counts[:, [0, 1, 5, 6]].any()
    assert POOL.held_counts.sum(axis=1).max() == 1
    assert (POOL.held_pairs == POOL.held_pairs.T).all()
    for held in POOL.held_relations.values():
        assert abs(held.mean() - HELD_OUT_SHARE / 2) < 0.005
        assert not (held & held.T).any()


def test_held_out_combinations_are_fixed_for_ever() -> None:
    """Whoever changes the hash makes old runs incomparable with new ones."""
    first = place("cat")
    assert [POOL.names[other] for other in np.flatnonzero(POOL.held_pairs[first])[:4]] == PAIRS
    assert [POOL.names[other] for other in np.flatnonzero(POOL.held_relations["left of"][first])[:4]] == LEFT_OF
    assert POOL.held_counts[[place("dog"), place("raccoon"), place("fox")]].nonzero()[1].tolist() == [3, 4]


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(UsageError, match="no language 'xx'"):
        POOL.names_in("xx")
