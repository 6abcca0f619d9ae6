"""What flows between the rooms: `Tokens`, `Batch`, `StepResult`.

B rows · L tokens · D width · C channels · H W pixels
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Tokens(NamedTuple):
    """What a tower says of its inputs.

    sequence: (B, L, D) one vector a patch or word; mask: (B, L) True where the token is real;
    pooled: (B, D') one vector an input (D' may differ from D).
    """

    sequence: Tensor
    mask: Tensor
    pooled: Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One mini-batch. Any modality may be absent for the whole batch (None) or for single rows (`present`).

    pixels: (B, C, H, W) float; ids: (B, L) int64 with ids_mask (B, L) True = real;
    image, text: cached `Tokens` in place of pixels or ids; picture: (B,) int64, the row of pixels or image that each
    row is about, where many words go with few pictures (S of them in place of B); None: its own; pair_id: (B,) int64,
    rows with the same id are positives of each other; key: where each row came from, for messages; present: modality ->
    (B,) bool; truth: what is known of the rows beside that, by name; its task says which names and shapes (B, ...) it
    needs.
    """

    pair_id: Tensor
    key: tuple[str, ...]
    pixels: Tensor | None = None
    ids: Tensor | None = None
    ids_mask: Tensor | None = None
    image: Tokens | None = None
    text: Tokens | None = None
    picture: Tensor | None = None
    present: dict[str, Tensor] = field(default_factory=dict)
    truth: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.key)

    def rows(self, which: slice) -> "Batch":
        """These rows of every modality."""

        def cut(name: str, chosen: slice | Tensor) -> dict[str, Any]:
            value = getattr(self, name)
            if value is None:
                return {}
            return {name: Tokens(*(x[chosen] for x in value)) if isinstance(value, Tokens) else value[chosen]}

        kept: dict[str, Any] = {}
        for name in ("pair_id", "key", "ids", "ids_mask", "text"):
            kept |= cut(name, which)
        shown = which
        if self.picture is not None:  # pictures that none of these rows is about go
            shown, kept["picture"] = self.picture[which].unique(return_inverse=True)
        for name in ("pixels", "image"):
            kept |= cut(name, shown)
        for name in ("present", "truth"):
            kept[name] = {key: value[which] for key, value in getattr(self, name).items()}
        return replace(self, **kept)

    def parts(self, size: int) -> Iterator["Batch"]:
        """The batch in parts of at most `size` rows, in order."""
        for start in range(0, len(self), size):
            yield self.rows(slice(start, start + size))

    def to(self, device: torch.device) -> "Batch":
        """The same batch with every tensor on `device`."""

        def move(value: object) -> object:
            if isinstance(value, Tensor):
                return value.to(device, non_blocking=True)
            if isinstance(value, Tokens):
                return Tokens(*(part.to(device, non_blocking=True) for part in value))
            return value

        names = ("pair_id", "pixels", "ids", "ids_mask", "image", "text", "picture")
        moved = {name: move(getattr(self, name)) for name in names}
        for name in ("present", "truth"):
            moved[name] = {key: value.to(device) for key, value in getattr(self, name).items()}
        return replace(self, **moved)


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a task says of one step.

    loss: scalar that carries the gradient; terms: named numbers for the log; count: rows that took part;
    features: detached (B, D) features by name, for the diagnosis.
    """

    loss: Tensor
    terms: dict[str, float]
    count: int
    features: dict[str, Tensor] = field(default_factory=dict)
