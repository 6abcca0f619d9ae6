"""Why it does not learn: what a training shows of its troubles, in plain words with the evidence.

One pure function a symptom, and `Diagnosis`, which the loop feeds. It reads and never changes anything.
B rows · D width
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from amodal.core.batch import Batch, StepResult
from amodal.core.errors import AmodalError
from amodal.objectives import InfoNCE
from amodal.objectives.infonce import LARGEST_SCALE
from amodal.runs.findings import Finding, Severity
from amodal.training.not_finite import not_finite
from amodal.training.parallel import own_part

AT_CHANCE = 0.99  # of the loss of guessing: less is learning
AT_CLAMP = 0.01  # this near to the limit of the logarithm of the scale
ALIKE = 0.95  # mean cosine of different inputs
DIRECTIONS = (2.0, 0.05)  # an effective rank below the first, or below this share of what there could be
GAP = 1.0  # distance of the means of two unit-length clouds; CLIP as published has 0.82 (Liang et al. 2022)
CUT = 0.01  # share of captions
RISE = (3.0, 0.1)  # standard errors, and share of the lowest loss
LOUD = (10.0, 2.0)  # gradient norms over the clip, and over what they were at the lowest loss
LOST = 0.5  # of what had been learnt, from the loss of guessing down to the lowest
WINDOW = (20, 200)  # least and most steps that a loss is averaged over, else an epoch
LOOKS = 3  # at features and gradients, an epoch; so many in a row make a finding
LOOK_EVERY = 500  # steps, in a longer epoch
LOOKED_AT = 64  # different pairs


def mean_cosine(x_BD: Tensor) -> float:
    """Mean cosine of two different rows, which are of unit length; 1 where all are the same."""
    count = len(x_BD)
    return ((x_BD.sum(0).square().sum() - x_BD.square().sum()) / (count * (count - 1))).item()


def effective_rank(x_BD: Tensor) -> float:
    """e to the entropy of the singular values over their sum: how many directions the rows fill, from 1 to min(B, D),
    and 0 where all are nought (Roy and Vetterli 2007)."""
    gram = x_BD @ x_BD.T if len(x_BD) < x_BD.shape[1] else x_BD.T @ x_BD
    values = torch.linalg.eigvalsh(gram.double()).clamp(min=0).sqrt()
    return torch.special.entr(values / values.sum()).sum().exp().item() if values.any() else 0.0


def modality_gap(image_BD: Tensor, text_BD: Tensor) -> float:
    """Distance between the mean of the pictures and the mean of the texts, from 0 to 2 (Liang et al. 2022)."""
    return (image_BD.mean(0) - text_BD.mean(0)).norm().item()


def is_collapsed(cosine: float, rank: float, possible: int) -> bool:
    """Whether different inputs lie in one point, by their mean cosine, or in few directions of those possible."""
    return cosine > ALIKE or rank < max(DIRECTIONS[0], DIRECTIONS[1] * possible)


def without_gradient(model: nn.Module) -> dict[str, int]:
    """Parts of the model of whose trainable parameters not one has a gradient other than zero. -> name, parameters"""
    found = {}
    for name, part in model.named_children():
        learned = sorted((p for p in part.parameters() if p.requires_grad), key=Tensor.numel)
        if learned and not any(p.grad is not None and bool(own_part(p.grad).any()) for p in learned):
            found[name] = sum(p.numel() for p in learned)
    return found


def cut_captions(texts: Sequence[str], lengths: Sequence[int], limit: int) -> Finding | None:
    """Captions longer than the `limit` tokens that are read. texts and their lengths in tokens, before any is cut."""
    cut = [number for number, length in enumerate(lengths) if length > limit]
    if len(cut) < max(1.0, CUT * len(texts)):
        return None
    longest = max(cut, key=lambda number: lengths[number])
    says = (
        f"{len(cut) / len(texts):.1%} of the captions ({len(cut):,} of {len(texts):,}) are longer than the {limit} "
        f"tokens that are read, and end unread. The longest has {lengths[longest]}: {_short(texts[longest])!r}. Raise "
        "model.text.context_length as far as the text tower goes, or put first what matters."
    )
    return Finding(name="captions cut", severity="warning", says=says, first=0, last=0)


@dataclass(frozen=True)
class Window:
    """Sums over the steps after `start`: of the loss, its square, the loss of guessing, the logarithm of the gradient
    norm, and how often the scale was at its largest and its smallest."""

    start: int
    steps: int = 0
    loss: float = 0.0
    square: float = 0.0
    chance: float = 0.0
    norm: float = 0.0
    largest: int = 0
    smallest: int = 0

    def mean(self) -> float:
        """Of the loss."""
        return self.loss / self.steps

    def error(self) -> float:
        """The standard error of that mean."""
        return math.sqrt(max(self.square / self.steps - self.mean() ** 2, 0.0) / max(self.steps - 1, 1))

    def typical_norm(self) -> float:
        """The geometric mean of the gradient norms."""
        return math.exp(self.norm / self.steps)

    def __str__(self) -> str:
        return f"steps {self.start + 1:,} to {self.start + self.steps:,}"


def at_chance(window: Window) -> str:
    """Whether the loss is no less than 99 % of what guessing costs, the logarithm of how many there are to choose from:
    of the batch for InfoNCE, of the negatives when decoupled, of batch and queue. -> what to say, or nothing

    Objectives that know no such loss have a chance of 0.
    """
    if not window.chance or window.loss < AT_CHANCE * window.chance:
        return ""
    guessing = window.chance / window.steps
    return (
        f"The loss is {window.mean():.3f} over {window}; guessing costs {guessing:.3f}, "
        f"ln({math.exp(guessing):,.0f}). Nothing is learnt. "
        "See that each caption stands beside its own picture, then try a learning rate 10 times lower and 10 times "
        "higher."
    )


def at_clamp(window: Window) -> str:
    """Whether the learned scale lay at one of its limits all the time. -> what to say, or nothing"""
    if window.largest == window.steps:
        return (
            f"The scale lay at its largest value, {math.exp(LARGEST_SCALE):.0f}, over {window}: the loss would still "
            "gain by sharper contrasts, mostly because the training pairs are known by heart. Watch validation recall; "
            "more pairs, stronger augmentation or an earlier stop help, or a fixed scale (task.learn_scale: false)."
        )
    if window.smallest == window.steps:
        return (
            f"The scale lay at its smallest value, 1, over {window}: the model does better by not trusting its own "
            "similarities. See that each caption stands beside its own picture, and lower training.learning_rate."
        )
    return ""


def too_high_rate(lowest: Window, now: Window, clip: float, rate: float) -> str:
    """Whether the loss has risen from its lowest window beyond the noise, and either gradients are far above the clip
    and grow, or half of what had been learnt is lost. -> what to say, or nothing

    With features of unit length, weights that are too large make gradients small, so that loud ones are no must. A loss
    that grows because guessing costs more (a queue that fills) has not risen.
    """
    learnt = (lowest.chance - lowest.loss) / lowest.steps
    rise = learnt - (now.chance - now.loss) / now.steps
    noise = math.hypot(now.error(), lowest.error())
    before, after = lowest.typical_norm(), now.typical_norm()
    loud = after > max(LOUD[0] * clip, LOUD[1] * before)
    lost = now.chance > 0 and rise > LOST * learnt
    if rise <= max(RISE[0] * noise, RISE[1] * lowest.mean()) or not (loud or lost):
        return ""
    back = f" {min(rise / learnt, 1):.0%} of what had been learnt is lost." if lost and learnt > 0 else ""
    return (
        f"The loss rose from {lowest.mean():.3f} ({lowest}) to {now.mean():.3f} ({now}); its noise is {noise:.3f}."
        f"{back} Gradient norms went from {before:.3g} to {after:.3g}; the clip is {clip:g}. The learning rate of "
        f"{rate:g} is too high: try training.learning_rate: {rate / 10:.2g}, or a longer training.warmup."
    )


class Diagnosis:
    """Watches a training: `watch` after every backward pass, before the gradients go.

    epoch: steps of one; warmup: steps before the loss and the features are judged; clip, rate: as in `Settings`; say:
    called with one line for every new finding; keep: with all findings when there is a new one; alone: whether no other
    process has rows of the batch; state: what `state()` gave, to go on with, or nothing; before: findings of the time
    before training.
    """

    def __init__(
        self,
        task: Any,
        model: nn.Module,
        *,
        epoch: int,
        warmup: int,
        clip: float,
        rate: float,
        say: Callable[[str], None],
        keep: Callable[[list[Finding]], None] = lambda findings: None,
        alone: bool = True,
        state: Mapping[str, Any] | None = None,
        before: Sequence[Finding] = (),
    ) -> None:
        self._model, self._warmup, self._clip, self._rate = model, warmup, clip, rate
        self._say, self._keep, self._alone = say, keep, alone
        self._length = min(max(epoch, WINDOW[0]), WINDOW[1])
        self._every = min(max(1, epoch // LOOKS), LOOK_EVERY)
        objective = getattr(task, "objective", None)
        learned = getattr(getattr(objective, "logit_scale", None), "requires_grad", False)
        self._largest = LARGEST_SCALE - AT_CLAMP if learned and isinstance(objective, InfoNCE) else math.inf
        self._smallest = AT_CLAMP if learned else -math.inf
        self._found: dict[str, Finding] = {}
        self._in_a_row: dict[str, int] = {}
        self._window, self._lowest = Window(0), None
        if state:
            self._found = {each["name"]: Finding(**each) for each in state["findings"]}
            self._in_a_row = dict(state["in_a_row"])
            self._window = Window(**state["window"])
            self._lowest = Window(**state["lowest"]) if state["lowest"] else None
        else:
            for finding in before:
                self._add(finding)

    @property
    def findings(self) -> list[Finding]:
        """All so far, in the order met."""
        return list(self._found.values())

    def state(self) -> dict[str, Any]:
        """Everything that a resumed training needs to say what an unbroken one would have said, as JSON."""
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "in_a_row": self._in_a_row,
            "window": asdict(self._window),
            "lowest": asdict(self._lowest) if self._lowest else None,
        }

    def watch(
        self, step: int, batch: Batch, result: StepResult, norm: float, again: Callable[[], None] = lambda: None
    ) -> None:
        """Looks at one step, counted from 1, before it is made; at features and gradients a few times an epoch.

        again: encodes the batch once more as it was. Raises AmodalError, naming rows of the batch and the module where
        it began, when the loss or the gradient is NaN or infinite.
        """
        finding = not_finite(step, batch, result, norm, model=self._model, again=again, alone=self._alone)
        if finding is not None:
            self._add(finding)
            raise AmodalError(finding.says)
        self._count(result, norm)
        if self._window.steps == self._length:
            self._judge(self._window)
        if step % self._every == 0:
            self._look(step, batch, result)

    def _count(self, result: StepResult, norm: float) -> None:
        now, loss, scale = self._window, result.terms["loss"], result.terms.get("logit_scale", math.nan)
        self._window = Window(
            now.start,
            now.steps + 1,
            now.loss + loss,
            now.square + loss * loss,
            now.chance + result.terms.get("chance", 0.0),
            now.norm + math.log(max(norm, 1e-12)),
            now.largest + (scale >= self._largest),
            now.smallest + (scale <= self._smallest),
        )

    def _judge(self, window: Window) -> None:
        """The loss, scale and gradient norms of a whole window; what is said of it counts after the warm-up."""
        end = window.start + window.steps
        if window.start >= self._warmup:
            self._tell("loss at chance", "warning", at_chance(window), window.start + 1, end)
            self._tell("scale at its clamp", "note", at_clamp(window), window.start + 1, end)
            if self._lowest is not None:
                says = too_high_rate(self._lowest, window, self._clip, self._rate)
                self._tell("learning rate too high", "warning", says, window.start + 1, end)
        if self._lowest is None or window.loss - window.chance < self._lowest.loss - self._lowest.chance:
            self._lowest = window
        self._window = Window(end)

    def _look(self, step: int, batch: Batch, result: StepResult) -> None:
        """Gradients and features now; a symptom is told when several looks in a row have seen it."""
        seen = dict(_no_gradient(self._model))
        if step > self._warmup + WINDOW[0]:  # new towers say the same of everything at first
            seen |= {name: (severity, says) for name, severity, says in _features(batch, result)}
        self._in_a_row = {name: self._in_a_row.get(name, 0) + 1 for name in seen}
        for name, (severity, says) in seen.items():
            if self._in_a_row[name] >= LOOKS:
                self._tell(name, severity, says, step - (LOOKS - 1) * self._every, step)

    def _tell(self, name: str, severity: Severity, says: str, first: int, last: int) -> None:
        if says and name in self._found:
            self._found[name] = replace(self._found[name], last=last)
        elif says:
            self._add(Finding(name=name, severity=severity, says=says, first=first, last=last))

    def _add(self, finding: Finding) -> None:
        self._found[finding.name] = finding
        if finding.severity != "error":  # an error is said by what it raises
            self._say(f"{finding.severity}: {finding.name}, {finding.when}. {finding.says}")
        self._keep(self.findings)


def _no_gradient(model: nn.Module) -> Iterator[tuple[str, tuple[Severity, str]]]:
    found = without_gradient(model)
    if len(found) == sum(any(p.requires_grad for p in part.parameters()) for part in model.children()):
        return  # all of them: the loss is nought, as of triplets that keep their margin
    for name, count in found.items():
        words = name.replace("_", " ")
        says = (
            f"No gradient reaches the {words}: all of its {count:,} trainable parameters have none or only zeros, "
            f"while other parts learn. Look for detach() or no_grad() in the {words} or behind it; if it is to stay as "
            "it is, freeze it (trainable: false), which is faster."
        )
        yield f"no gradient in the {words}", ("warning", says)


def _features(batch: Batch, result: StepResult) -> Iterator[tuple[str, Severity, str]]:
    """What the features of different pairs of a batch show."""
    rows = list({pair: row for row, pair in enumerate(batch.pair_id[: 4 * LOOKED_AT].tolist())}.values())[:LOOKED_AT]
    image_BD, text_BD = (result.features.get(name) for name in ("image", "text"))
    if image_BD is None or text_BD is None or len(rows) < 8 or len(image_BD) != len(batch):
        return
    collapsed = False
    sides = {"pictures": image_BD[rows].float().cpu(), "captions": text_BD[rows].float().cpu()}
    for name, x_BD in sides.items():
        cosine, rank, possible = mean_cosine(x_BD), effective_rank(x_BD), min(x_BD.shape)
        if is_collapsed(cosine, rank, possible):
            how = "are almost the same" if cosine > ALIKE else "lie in a few directions"
            says = (
                f"The vectors of different {name} {how}: their mean cosine is {cosine:.3f}, and {len(rows)} of them "
                f"fill {rank:.1f} of {possible} directions (effective rank). Lower training.learning_rate, take larger "
                f"batches, and see that the {name} differ."
            )
            collapsed = True
            yield f"{name} collapsed", "warning", says
    gap = modality_gap(*sides.values())
    if gap > GAP and not collapsed:  # of two points the distance says nothing more
        says = (
            f"Pictures and captions lie in two places: their means are {gap:.2f} apart, where 0 is none and CLIP as "
            "published has 0.82. Ranking may work all the same, but a cosine between the two kinds says little by "
            "itself. Train longer, or begin with a smaller scale (task.initial_scale: 2)."
        )
        yield "modality gap", "note", says


def _short(text: str, length: int = 120) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
