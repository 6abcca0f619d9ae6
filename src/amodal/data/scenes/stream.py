"""The endless supply: scene n of a split, for any n, the same whoever asks and in whichever order."""

from collections.abc import Iterator

from amodal.core.errors import UsageError
from amodal.data.scenes.compose import Rules, compose
from amodal.data.scenes.concepts import load_pool
from amodal.data.scenes.dice import Dice
from amodal.data.scenes.grammar import GRAMMARS, grammar
from amodal.data.scenes.scene import Name, Scene, Wording

SPLITS = ("train", "validation", "seen", "validation-concepts", "held-out-concepts", "held-out-combinations")
_CONCEPTS = {"validation-concepts": "validation", "held-out-concepts": "test"}
_HELD_OUT = {"validation-concepts": "free", "held-out-concepts": "free", "held-out-combinations": "always"}
SMALLEST, LARGEST = 32, 1024


class Scenes:
    """Scenes by number: `Scenes("train")[17]`. Pixels depend on (seed, split, number, size) alone, words also on the
    language; hand it to any number of workers.

    split: "train"; "validation" and "seen", other scenes under the rules of "train" (to choose by, and to judge by);
    "validation-concepts" and "held-out-concepts", of the concepts that the bundled set keeps for validation and for
    test; "held-out-combinations", of training concepts in a pair, number or relation that "train" never shows.
    size: pixels to a side. language: of the nouns, a CLDR tag; grammar: "en", "de" or "es", by default the
    language's own or else English. count: the length of the split, endless if None. Raises UsageError.
    """

    def __init__(
        self, split: str = "train", *, seed: int = 0, size: int = 128, language: str = "en", grammar_of: str = "",
        count: int | None = None,
    ) -> None:  # fmt: skip
        if split not in SPLITS:
            raise UsageError(f"scenes have no split {split!r}; they have {', '.join(SPLITS)}")
        if not SMALLEST <= size <= LARGEST:
            raise UsageError(f"a scene of {size} pixels to a side cannot be made; give {SMALLEST} to {LARGEST}")
        self.split, self.seed, self.size, self.language = split, seed, size, language
        self.grammar = grammar_of or (language if language in GRAMMARS else "en")
        self.count = count
        self._pool = load_pool()
        self._wording = Wording(grammar(self.grammar, language), self._pool.names_in(language))
        held_out = _HELD_OUT.get(split, "never")
        self._rules = Rules(tuple(self._pool.members(_CONCEPTS.get(split, "train"))), held_out)

    def __len__(self) -> int:
        if self.count is None:
            raise TypeError("these scenes are endless; give a count to have a length")
        return self.count

    def __getitem__(self, number: int) -> Scene:
        if number < 0 or (self.count is not None and number >= self.count):
            raise IndexError(f"no scene {number}; numbers go from 0" + (f" to {self.count - 1}" if self.count else ""))
        name = Name(self.seed, self.split, number)
        drawing = compose(self._rules, self.size, Dice(*name))
        return Scene(name, drawing, self._pool, self._wording, self._rules)

    def stream(self, start: int = 0, step: int = 1) -> Iterator[Scene]:
        """Scenes start, start + step, start + 2 step ...: worker w of W takes `stream(w, W)`."""
        number = start
        while self.count is None or number < self.count:
            yield self[number]
            number += step
