"""Words to ids: round trips, truncation, padding, any text, the same texts the same tokenizer."""

from pathlib import Path

import pytest
import tokenizers
import torch

from amodal.core.errors import DataError
from amodal.data.tokenizers import END, PAD, START, UNKNOWN, Tokenizer, load_tokenizer, train_bpe, train_words

TEXTS = ["a red cat on a mat", "two blue dogs", "the old man and the sea", "ein rotes Haus", "Über den Wolken"]
STRANGE = [
    "",
    " ",
    "\x00",
    "naïve café",
    "写真を撮る",
    "قطة حمراء",
    "👩🏽‍🚀🏳️‍🌈",
    "e\u0301\u200b\ufeff",
    "\U0010ffff",
    "a\nb\tc",
]


def trained(context_length: int = 32, texts: list[str] = TEXTS) -> Tokenizer:
    return train_bpe(texts, vocabulary=320, context_length=context_length)


def special(tokenizer: Tokenizer, path: Path) -> dict[str, int]:
    tokenizer.save(path)
    ids = tokenizers.Tokenizer.from_file(str(path)).get_vocab()
    return {name: ids[name] for name in (PAD, START, END)}


@pytest.mark.parametrize("text", [*TEXTS, *STRANGE, "x" * 500])
def test_any_text_encodes_and_decodes_to_its_lower_case(text: str, tmp_path: Path) -> None:
    tokenizer = trained(context_length=2000)
    tokenizer.save(tmp_path / "t.json")
    ids, mask = tokenizer([text])
    decoded = tokenizers.Tokenizer.from_file(str(tmp_path / "t.json")).decode(ids[0].tolist())
    known = tokenizers.normalizers.NFC().normalize_str(text).lower()
    assert decoded.removeprefix(" ") == known.removeprefix(" ")
    assert mask.all()
    assert ids.max() < tokenizer.vocabulary


def test_half_an_emoji_reads_as_a_question_mark() -> None:
    tokenizer = trained(texts=[*TEXTS, "a\ud83d cat"])
    assert tokenizer(["a\ud800b"])[0].tolist() == tokenizer(["a?b"])[0].tolist()
    assert tokenizer.lengths(["a\ud800b"]) == tokenizer.lengths(["a?b"])


def test_round_trip_through_a_file_and_its_folder(tmp_path: Path) -> None:
    tokenizer = trained(context_length=9)
    tokenizer.save(tmp_path / "tokenizer.json")
    for place in (tmp_path, tmp_path / "tokenizer.json"):
        loaded = load_tokenizer(place, context_length=9)
        for mine, its in zip(tokenizer(TEXTS + STRANGE), loaded(TEXTS + STRANGE), strict=True):
            assert torch.equal(mine, its)
        assert loaded.fingerprint() == tokenizer.fingerprint()
        assert loaded.vocabulary == tokenizer.vocabulary


def test_starts_ends_and_pads(tmp_path: Path) -> None:
    tokenizer = trained()
    names = special(tokenizer, tmp_path / "t.json")
    ids, mask = tokenizer(["a cat", "two blue dogs and a cat", ""])
    assert ids.dtype == torch.int64
    assert mask.dtype == torch.bool
    assert mask.sum(dim=1).tolist() == tokenizer.lengths(["a cat", "two blue dogs and a cat", ""])
    assert ids.shape[1] == mask.sum(dim=1).max()
    assert (ids[~mask] == names[PAD]).all()
    for row, real in zip(ids, mask, strict=True):
        assert row[real][0] == names[START]
        assert row[real][-1] == names[END]
        assert not real[int(real.sum()) :].any()


def test_truncation_keeps_the_end_token(tmp_path: Path) -> None:
    long, length = "the old man and the sea " * 10, 7
    full, _ = trained(context_length=1000)([long])
    cut, mask = trained(context_length=length)([long])
    names = special(trained(), tmp_path / "t.json")
    assert cut.shape == (1, length)
    assert mask.all()
    assert cut[0, -1] == names[END]
    assert cut[0, :-1].tolist() == full[0, : length - 1].tolist()
    assert trained(context_length=length).lengths([long]) == [full.shape[1]]


def test_a_text_is_the_same_alone_and_in_company() -> None:
    tokenizer = trained()
    ids, mask = tokenizer(TEXTS + STRANGE)
    for number, text in enumerate(TEXTS + STRANGE):
        assert ids[number][mask[number]].tolist() == tokenizer([text])[0][0].tolist()


def test_same_texts_same_tokenizer_in_any_order() -> None:
    words = [f"{a}{b}{c}" for a in "abc" for b in "xyz" for c in "mno"]  # full of ties
    first = trained(texts=words).fingerprint()
    for _ in range(3):
        assert trained(texts=[*reversed(words), *words[:5]]).fingerprint() == first
    assert trained(texts=[*words, "else"]).fingerprint() != first
    assert trained(texts=words, context_length=31).fingerprint() != first


def test_capitals_and_composed_letters_do_not_matter() -> None:
    ids, _ = trained()(["A RED Café", "a red cafe\u0301"])
    assert ids[0].tolist() == ids[1].tolist()


def test_vocabulary_holds_every_byte_and_stays_within_its_limit() -> None:
    tokenizer = trained()
    assert 256 + 3 <= tokenizer.vocabulary <= 320
    assert sum(tokenizer.lengths(TEXTS)) < sum(len(text.encode()) for text in TEXTS)  # it learned to merge


def test_no_texts() -> None:
    with pytest.raises(DataError, match="no captions"):
        train_bpe([], vocabulary=300, context_length=8)
    ids, mask = trained()([])
    assert ids.shape == mask.shape == (0, 0)
    assert trained().lengths([]) == []


def test_what_is_no_tokenizer_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}")
    for place in (file, tmp_path, tmp_path / "absent.json"):
        with pytest.raises(DataError, match=r"is not a tokenizer\.json"):
            load_tokenizer(place, context_length=8)


def test_own_settings_of_a_foreign_file_are_set_aside(tmp_path: Path) -> None:
    tokenizer = trained()
    tokenizer.save(tmp_path / "t.json")
    foreign = tokenizers.Tokenizer.from_file(str(tmp_path / "t.json"))
    foreign.enable_padding(length=30)
    foreign.enable_truncation(5)
    foreign.save(str(tmp_path / "f.json"))
    loaded = load_tokenizer(tmp_path / "f.json", context_length=32)
    assert loaded(TEXTS)[0].tolist() == tokenizer(TEXTS)[0].tolist()
    assert loaded.lengths(TEXTS) == tokenizer.lengths(TEXTS)


def test_words_of_one_pair_alone_are_unknown(tmp_path: Path) -> None:
    texts = ["A red, red cat", "the cat's RED mat", "a blue dog", "the dog"]
    tokenizer = train_words(texts, ["cat", "cat", "dog", "cow"], shared_by=2, context_length=16)
    tokenizer.save(tmp_path / "t.json")
    ids = tokenizers.Tokenizer.from_file(str(tmp_path / "t.json")).get_vocab()
    assert set(ids) == {PAD, START, END, UNKNOWN, "a", "the", "dog"}  # red: twice in a text, in two, but in one pair
    assert tokenizer.vocabulary == 7
    said, mask = tokenizer(["The dog, a DOG!", "red dog", "?!"])
    names = {number: name for name, number in ids.items()}
    rows = [[names[number] for number in row[real].tolist()] for row, real in zip(said, mask, strict=True)]
    assert rows == [[START, "the", "dog", "a", "dog", END], [START, UNKNOWN, "dog", END], [START, END]]
    assert (said[~mask] == ids[PAD]).all()
    again = train_words(texts[::-1], ["cow", "dog", "cat", "cat"], shared_by=2, context_length=16)
    assert again.fingerprint() == tokenizer.fingerprint()
    loaded = load_tokenizer(tmp_path / "t.json", context_length=16)
    assert torch.equal(loaded(texts)[0], tokenizer(texts)[0])


@pytest.mark.parametrize("text", [*TEXTS, *STRANGE, "a\ud83d cat", "x" * 500])
def test_words_take_any_text(text: str) -> None:
    tokenizer = train_words([*TEXTS, text], [*map(str, range(len(TEXTS))), "x"], shared_by=1, context_length=9)
    ids, mask = tokenizer([text])
    assert 2 <= mask.sum() <= 9
    assert ids.max() < tokenizer.vocabulary
    with pytest.raises(DataError, match="no captions"):
        train_words([], [], shared_by=2, context_length=9)
