"""Words to ids: a byte-level BPE trained on a person's own captions (Sennrich et al. 2016), the words that these have
in common, or a tokenizer.json.

B texts · L tokens
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import tokenizers
import torch
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor

from amodal.core.errors import DataError
from amodal.core.files import atomic_write

START, END, PAD, UNKNOWN = "<|start|>", "<|end|>", "<|pad|>", "<|unknown|>"
NO_CAPTIONS = "no captions to train a tokenizer on; check the caption column"
_NORMAL = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])


class WordsToIds(Protocol):
    """What a text tower needs: a tokenizer of ours, or one that came with a model of another library."""

    @property
    def context_length(self) -> int:
        """Tokens of the longest text; the rest is cut off."""
        ...

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask, True = real. -> (B, L) int64, (B, L) bool"""
        ...

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text before any is cut off."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that decides the ids."""
        ...


class Tokenizer:
    """Texts -> ids (B, L) int64 and mask (B, L) True = real, cut to `context_length` with the end token kept."""

    def __init__(self, inner: tokenizers.Tokenizer, *, context_length: int) -> None:
        self.context_length = context_length
        self._plain = tokenizers.Tokenizer.from_str(inner.to_str())
        self._plain.no_truncation()
        self._plain.no_padding()
        self._inner = tokenizers.Tokenizer.from_str(self._plain.to_str())
        self._inner.enable_truncation(context_length)
        pads = (inner.token_to_id(token) for token in (PAD, "[PAD]", "<pad>"))
        self._pad = next((pad for pad in pads if pad is not None), 0)

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask, padded to the longest of these texts. -> (B, L) int64, (B, L) bool"""
        rows = [encoding.ids for encoding in self._inner.encode_batch([sound(text) for text in texts])]
        length = max((len(row) for row in rows), default=0)
        ids = torch.full((len(rows), length), self._pad, dtype=torch.int64)
        mask = torch.zeros((len(rows), length), dtype=torch.bool)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row, dtype=torch.int64)
            mask[number, : len(row)] = True
        return ids, mask

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text before any is cut off."""
        return [len(encoding.ids) for encoding in self._plain.encode_batch([sound(text) for text in texts])]

    def spans(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """For each token that `__call__` gives which characters of the text it stands for, (0, 0) for a special one."""
        return [encoding.offsets for encoding in self._inner.encode_batch([sound(text) for text in texts])]

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        return self._inner.get_vocab_size()

    def save(self, path: Path) -> None:
        """Writes a tokenizer.json that `load_tokenizer` and Hugging Face tokenizers read."""
        atomic_write(path, self._plain.to_str(pretty=True))

    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that decides the ids."""
        return hashlib.sha256(f"{self.context_length}{self._plain.to_str()}".encode()).hexdigest()


def train_bpe(texts: Iterable[str], *, vocabulary: int, context_length: int) -> Tokenizer:
    """A lower-casing byte-level BPE with start and end tokens. Any later text can be encoded: no unknown token.

    The same texts give the same tokenizer. Raises DataError when there is no text.
    """
    captions = sorted({sound(text) for text in texts})
    if not captions:
        raise DataError(NO_CAPTIONS)
    inner = tokenizers.Tokenizer(models.BPE())
    inner.normalizer = _NORMAL
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(captions, trainer)
    return _framed(inner, context_length)


def train_words(texts: Sequence[str], pairs: Sequence[str], *, shared_by: int, context_length: int) -> Tokenizer:
    """Lower-case words that the captions of at least `shared_by` pairs use, with start and end tokens.

    pairs: which pair each text belongs to. A word of one pair alone would be learnt by heart and never met again: it
    and every other is the same unknown token, and punctuation is left out. Raises DataError when there is no text.
    """
    if not texts:
        raise DataError(NO_CAPTIONS)
    split = pre_tokenizers.Split(tokenizers.Regex(r"\w+"), "removed", invert=True)
    used = {
        (word, pair)
        for text, pair in zip(texts, pairs, strict=True)
        for word, _ in split.pre_tokenize_str(_NORMAL.normalize_str(sound(text)))
    }
    used_by = Counter(word for word, _ in used)
    special = [PAD, START, END, UNKNOWN]
    names = special + sorted(word for word, count in used_by.items() if count >= shared_by)
    ids = {name: number for number, name in enumerate(names)}
    inner = tokenizers.Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    inner.add_special_tokens(special)
    inner.normalizer, inner.pre_tokenizer = _NORMAL, split
    return _framed(inner, context_length)


def _framed(inner: tokenizers.Tokenizer, context_length: int) -> Tokenizer:
    """The tokenizer with a start and an end token round every text."""
    special = [(START, inner.token_to_id(START)), (END, inner.token_to_id(END))]
    inner.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=special)
    return Tokenizer(inner, context_length=context_length)


def load_tokenizer(path: Path, *, context_length: int) -> Tokenizer:
    """The tokenizer of a tokenizer.json, or of a folder that holds one. Raises DataError when it is none."""
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        return Tokenizer(tokenizers.Tokenizer.from_file(str(file)), context_length=context_length)
    except Exception as error:  # the Rust library raises the bare class only
        raise DataError(f"{file} is not a tokenizer.json: {error}") from error


def sound(text: str) -> str:
    """The text with half an emoji (a lone surrogate, as cut captions in JSON hold) replaced by a question mark."""
    return text.encode("utf-8", "replace").decode()
