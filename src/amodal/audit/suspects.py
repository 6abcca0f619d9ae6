"""Pairs that a model doubts: captions of many other pictures fit the picture as well as its own.

B pairs · S sampled captions · D width of the joint space
"""

from collections.abc import Iterator, Sequence

import numpy as np

from amodal.audit.findings import Case, Finding, case_of
from amodal.audit.wording import many
from amodal.core.seeds import generator_for
from amodal.data.rows import Row, SkipLog
from amodal.inference import Model

SAMPLE = 512
"""Captions of other pictures that a caption is compared with."""

DOUBTFUL = 0.25
"""Share of them that must fit the picture at least as well. Of captions that have nothing to do with their picture
three quarters lie beyond it; of right ones few, if the model knows what is on the picture."""

_ROWS_AT_ONCE = 1024


def suspicious_pairs(rows: Sequence[Row], readable: Sequence[int], model: Model) -> Iterator[Finding]:
    """Ranks every picture with each of its captions by how far its cosine lies below those of the sample."""
    if len({rows[number].pair for number in readable}) < 2:
        return
    import torch

    draw = generator_for(0, "suspects")
    chosen = [readable[place] for place in torch.randperm(len(readable), generator=draw)[:SAMPLE].tolist()]
    pairs = np.array([rows[number].pair for number in chosen])
    others_SD = model.encode_text([rows[number].captions[0] for number in chosen])
    doubted: list[tuple[float, Case]] = []
    for start in range(0, len(readable), _ROWS_AT_ONCE):
        doubted += _doubted(rows, readable[start : start + _ROWS_AT_ONCE], model, others_SD, pairs)
    doubted.sort(key=lambda each: each[0])
    if doubted:
        yield Finding(
            kind="suspicious-pairs",
            severity="warning",
            title="Pairs that the model doubts",
            said=f"{many(len(doubted), 'caption')} that fit their picture no better than at least "
            f"{DOUBTFUL:.0%} of those of other pictures do ({model.name}).",
            advice="Look at them, the first ones first: a caption of another picture, or a thing the model never saw.",
            cases=tuple(case for _, case in doubted),
        )


def _doubted(
    rows: Sequence[Row], numbers: Sequence[int], model: Model, others_SD: np.ndarray, pairs_S: np.ndarray
) -> Iterator[tuple[float, Case]]:
    """(deviations from the mean of the sample, the doubtful pair) of these rows."""
    image_BD, kept = model.encoder.images([rows[number] for number in numbers], SkipLog(limit=1.0))
    seen = [numbers[place] for place in kept]
    said = [(place, text) for place, number in enumerate(seen) for text in rows[number].captions]
    if not said:
        return
    place_T = np.array([place for place, _ in said])
    own_T = (image_BD[place_T] * model.encode_text([text for _, text in said])).sum(axis=1)
    cosine_BS = image_BD @ others_SD.T
    cosine_BS[np.array([rows[number].pair for number in seen])[:, None] == pairs_S[None, :]] = np.nan
    for (place, text), own in zip(said, own_T, strict=True):
        others = cosine_BS[place][~np.isnan(cosine_BS[place])]
        if len(others) and (share := float((others >= own).mean())) >= DOUBTFUL:  # none: the sample is all of its pair
            note = f"{share:.0%} of other captions fit as well: {text}"
            deviations = float((own - others.mean()) / max(others.std(), 1e-6))
            yield deviations, case_of(rows, [seen[place]], note)
