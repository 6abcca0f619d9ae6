"""Tokenizers of other libraries behind the face of our own."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import tiny_families as made

from amodal.data.foreign_tokenizers import HubTokenizer, OpenClipTokenizer

LONG = "a red circle beside a blue square " * 20


@pytest.fixture(scope="module")
def inner(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return made.bpe(tmp_path_factory.mktemp("words"), start="<s>", end="</s>", pad="<pad>")


def test_padded_to_the_longest_or_to_one_length(inner: Any) -> None:
    free, fixed = (HubTokenizer(inner, context_length=12, fixed_length=fixed) for fixed in (False, True))
    ids, mask = free(["cat", "a cat"])
    assert ids.shape == (2, max(free.lengths(["cat", "a cat"])))
    assert mask.sum(dim=1).tolist() == free.lengths(["cat", "a cat"])
    ids, mask = fixed(["cat"])
    assert ids.shape == mask.shape == (1, 12)
    assert free.fingerprint() != fixed.fingerprint()


def test_the_end_token_stays_when_a_text_is_cut(inner: Any) -> None:
    tokenizer = HubTokenizer(inner, context_length=12, fixed_length=False)
    (ids,), _ = tokenizer([LONG])
    assert len(ids) == 12
    assert ids[-1] == inner.eos_token_id
    assert tokenizer.lengths([LONG])[0] > 12


def test_its_name_does_not_change_by_use_and_half_an_emoji_is_read(inner: Any) -> None:
    tokenizer = HubTokenizer(inner, context_length=12, fixed_length=False)
    name = tokenizer.fingerprint()
    tokenizer(["a \ud83d b", ""])
    assert tokenizer.fingerprint() == name
    assert HubTokenizer(inner, context_length=11, fixed_length=False).fingerprint() != name


def test_threads_may_share_one(inner: Any) -> None:
    tokenizer = HubTokenizer(inner, context_length=12, fixed_length=False)
    lines = [f"cat {'dog ' * (number % 9)}" for number in range(200)]

    def read(number: int) -> Any:
        return tokenizer.lengths(lines) if number % 2 else tokenizer(lines)[0].tolist()

    with ThreadPoolExecutor(4) as pool:
        for number, found in enumerate(pool.map(read, range(32))):
            assert found == read(number)


def test_open_clips_own() -> None:
    open_clip = pytest.importorskip("open_clip")
    tokenizer = OpenClipTokenizer(open_clip.get_tokenizer("ViT-B-32"))
    ids, mask = tokenizer(["cat \ud83d", LONG])
    assert ids.shape == (2, 77)
    assert mask.all()
    assert ids[1, -1] == ids[0].max()  # the end token has the greatest number
    assert tokenizer.lengths(["cat", LONG]) == [3, 7 * 20 + 2]
    assert tokenizer.fingerprint() == OpenClipTokenizer(open_clip.get_tokenizer("ViT-B-32")).fingerprint()
