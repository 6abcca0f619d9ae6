"""Nonsense and foreign captions: the same for the same seed, and none that the data may hold."""

from amodal.search import foreign, nonsense


def test_nonsense_is_drawn_by_its_seed() -> None:
    assert nonsense(60, 0) == nonsense(60, 0)
    assert not set(nonsense(200, 0)) & set(nonsense(200, 1))
    assert len(set(nonsense(450, 0))) > 440


def test_nonsense_holds_words_and_keys() -> None:
    texts = nonsense(30, 0)
    assert all(" " not in text and 5 <= len(text) <= 12 for text in texts[2::3])
    assert any(" " in text for text in texts)


def test_foreign_captions_differ_and_take_turns() -> None:
    texts = foreign(300, 0)
    assert len(set(texts)) == len(texts) > 200
    assert texts == foreign(300, 0) != foreign(300, 1)
    assert all(any(word in text for text in texts) for word in ("radiograph", "chart", "satellite", "schematic"))


def test_a_field_that_the_data_know_is_left_out() -> None:
    texts = foreign(300, 0, ["Chest Radiograph of a child", "a cat"])
    assert texts
    assert not any("radiograph" in text or "histology" in text for text in texts)
    assert foreign(300, 0, ["radiograph", "chart", "satellite", "schematic"]) == []
