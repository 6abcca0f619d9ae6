"""Tokenizers of other libraries behind the face of our own.

B texts · L tokens
"""

import hashlib
import json
from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from amodal.data.tokenizers import sound


class HubTokenizer:
    """A tokenizer of transformers, cut to `context_length` with the end token kept.

    fixed_length: texts are padded to `context_length`, as their model learnt them; otherwise to the longest. Where the
    tokenizer gives no mask, its model reads padding as it reads words, and all counts as real.
    """

    def __init__(self, inner: Any, *, context_length: int, fixed_length: bool) -> None:
        self._inner, self.context_length, self.fixed_length = inner, context_length, fixed_length
        self._lock = Lock()  # it is set to padding and length before it reads: one thread at a time

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask. -> (B, L) int64, (B, L) bool"""
        with self._lock:
            found = self._inner(
                [sound(text) for text in texts],
                padding="max_length" if self.fixed_length else "longest",
                truncation=True,
                max_length=self.context_length,
                return_tensors="pt",
            )
        ids = found["input_ids"]
        return ids, found["attention_mask"].bool() if "attention_mask" in found else torch.ones_like(ids).bool()

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text before any is cut off."""
        with self._lock:
            return [len(ids) for ids in self._inner([sound(text) for text in texts], verbose=False)["input_ids"]]

    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that decides the ids."""
        return _hashed(self._inner, self.context_length, self.fixed_length)


class OpenClipTokenizer:
    """A tokenizer of open_clip, which cuts and pads to the length of its model's context; its model finds the end by
    itself, so that all places count as real."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.context_length = inner, int(inner.context_length)
        self._lock = Lock()  # as above; one of open_clip's kinds is a tokenizer of transformers

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask. -> (B, L) int64, (B, L) bool"""
        with self._lock:
            ids = self._inner([sound(text) for text in texts])
        return ids, torch.ones_like(ids).bool()

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text before any is cut off."""
        if hasattr(self._inner, "encode"):
            return [len(self._inner.encode(sound(text))) + 2 for text in texts]
        return [len(ids) for ids in self._inner.tokenizer([sound(text) for text in texts], verbose=False)["input_ids"]]

    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that decides the ids."""
        inner = getattr(self._inner, "tokenizer", self._inner)
        cleaning = [getattr(self._inner, name, None) for name in ("clean_fn", "reduction_fn", "strip_sep_token")]
        return _hashed(inner, self.context_length, [getattr(part, "__name__", part) for part in cleaning])


def _hashed(inner: Any, *details: object) -> str:
    words = inner.get_vocab() if hasattr(inner, "get_vocab") else inner.encoder
    rules = getattr(inner, "bpe_ranks", "")
    if (backend := getattr(inner, "backend_tokenizer", None)) is not None:
        rules = json.loads(backend.to_str())
        del rules["truncation"], rules["padding"]  # those of the last call
    told = (type(inner).__name__, getattr(inner, "padding_side", ""), sorted(words.items()), rules, details)
    return hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()
