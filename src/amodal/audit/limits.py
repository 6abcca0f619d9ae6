"""What models cannot tell, measured: the share of trials in which the true sentence fits better than the false one.

After Winoground (Thrush et al. 2022) and ARO (Yuksekgonul et al. 2023): a model may be right about what is in a
picture and know nothing of how many, where or which.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from amodal.audit.trials import CHANCE, LIMITS, Limit, Trial
from amodal.core.errors import DataError
from amodal.metrics import Figure, bootstrap_mean, preferred

FEWEST = 6
"""Independent trials: fewer come out all alike by chance more often than an interval of 95 % allows."""

Match = Callable[[Sequence[Image.Image], Sequence[str]], np.ndarray]
"""How well each picture (N) fits its own text (N); higher is better. -> (N,)"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured. figures: model -> limit -> its share of right choices; trials: limit -> what it came from."""

    split: str
    figures: Mapping[str, Mapping[str, Figure]]
    trials: Mapping[str, Sequence[Trial]]

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Those that there were trials for."""
        return tuple(limit for limit in LIMITS if self.trials.get(limit.name))

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        figures = {
            model: {name: {**figure.to_json(), "told": told(figure)} for name, figure in found.items()}
            for model, found in self.figures.items()
        }
        return {"split": self.split, "limits": [vars(limit) for limit in self.limits], "figures": figures}


def measure(models: Mapping[str, Match], trials: Mapping[str, Sequence[Trial]], split: str) -> Measured:
    """Every model on the same trials. Raises DataError when a model's scores are no numbers."""
    figures = {
        name: {limit: _figure(match, found, name) for limit, found in trials.items() if found}
        for name, match in models.items()
    }
    return Measured(split=split, figures=figures, trials=trials)


def told(figure: Figure) -> str:
    """The figure in a word: "told", at chance ("not told"), the wrong way round ("reversed"), or "too few" trials."""
    if figure.n < FEWEST:
        return "too few"
    if figure.low > CHANCE:
        return "told"
    return "reversed" if figure.high < CHANCE else "not told"


def _figure(match: Match, trials: Sequence[Trial], name: str) -> Figure:
    pictures = [trial.picture for trial in trials]
    texts = [trial.true for trial in trials] + [trial.false for trial in trials]
    scores = np.asarray(match(pictures * 2, texts), dtype=np.float64).reshape(2, len(trials))
    if not np.isfinite(scores).all():
        raise DataError(f"{name} scores a picture with its sentence as no number; it cannot be measured")
    value, low, high = bootstrap_mean(preferred(*scores), groups=np.array([trial.group for trial in trials]))
    independent = len({trial.group for trial in trials})
    return Figure(value=value, low=low, high=high, chance=CHANCE, n=independent, candidates=2)
