"""The object a person holds: encode, classify, compare. Pictures are paths, bytes or PIL images.

N pictures · M texts · D width of the joint space · C labels
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypedDict, overload

import numpy as np

from amodal.core.errors import UsageError
from amodal.data.pictures import Picture
from amodal.data.rows import SkipLog
from amodal.evaluation import class_embeddings
from amodal.features import Encoder
from amodal.inference.opened import as_row, unreadable
from amodal.search import Calibration, Embedder, Index, Spread, model_revision, update


class LabelScore(TypedDict):
    """One label of a picture. share: of all labels, sums to one; probability: the calibrated chance that the label
    fits, None for a model that is not calibrated; cosine: what both come from."""

    label: str
    share: float
    probability: float | None
    cosine: float


class Labelled(NamedTuple):
    """The labels of a picture, best first, and whether none of them fits (None for a model that is not calibrated)."""

    labels: list[LabelScore]
    no_match: bool | None


class Model:
    """A loaded model. All vectors are float32 of unit length.

    calibrations: what its scores mean, for "words" that look for pictures and for "labels" of a picture, where known;
    source: what `amodal.load` opened, "" for the packaged one; languages: ISO 639 codes of those it was trained in,
    where that is known.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        name: str,
        logit_scale: float,
        templates: str | Sequence[str],
        calibrations: Mapping[str, Calibration] | None = None,
        source: str = "",
        languages: tuple[str, ...] = (),
    ) -> None:
        self.encoder, self.name, self.logit_scale, self.templates = encoder, name, logit_scale, templates
        self.calibrations = dict(calibrations or {})
        self.source, self.languages = source, languages

    def __repr__(self) -> str:
        return f"amodal.Model({self.name!r})"

    @cached_property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.encoder.texts([""]).shape[1]

    @property
    def fingerprint(self) -> str:
        """Names all that decides a vector: two models with the same one give the same vectors."""
        return self.encoder.fingerprint

    @property
    def embedder(self) -> Embedder:
        """This model as an index sees it."""
        return Embedder(
            name=self.name,
            source=self.source,
            revision=model_revision(self.source),
            fingerprint=self.fingerprint,
            dimension=self.width,
            images=self.encoder.images,
            texts=self.encode_text,
            languages=self.languages,
            calibration=self.calibrations.get("words"),
        )

    def index(
        self,
        source: str | Path,
        out: str | Path,
        *,
        place: bool | None = None,
        gone: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> Index:
        """Indexes the pictures of a folder or a table into `out`, or brings that up to date, and opens it to be asked.

        place, gone and errors: see `amodal.search.update`. `pip install amodal[search]`.
        """
        update(
            str(out),
            str(source),
            lambda: self.embedder,
            revision=self.embedder.revision,
            place=place,
            gone=gone,
            say=say,
        )
        return self.open_index(out)

    def open_index(self, where: str | Path) -> Index:
        """An index that this model made, to be asked. Raises DataError where there is none."""
        return Index(str(where), lambda settings: self.embedder)

    def encode_image(self, pictures: Picture | Sequence[Picture]) -> np.ndarray:
        """Unit vectors of pictures. -> (N, D); of a single one (D,). Raises DataError for one it cannot read."""
        if isinstance(pictures, Picture):
            return self.encode_image([pictures])[0]
        rows = [as_row(picture, number) for number, picture in enumerate(pictures)]
        if not rows:
            return self.encode_text([])
        skipped = SkipLog(limit=1.0)
        vectors, kept = self.encoder.images(rows, skipped)
        if len(kept) < len(rows):
            raise unreadable(*skipped.entries[0])
        return vectors

    def encode_text(self, texts: str | Sequence[str]) -> np.ndarray:
        """Unit vectors of texts. -> (M, D); of a single one (D,)."""
        if isinstance(texts, str):
            return self.encode_text([texts])[0]
        return self.encoder.texts(list(texts)) if len(texts) else self.encoder.texts([""])[:0]

    def similarity(self, pictures: Picture | Sequence[Picture], texts: str | Sequence[str]) -> np.ndarray:
        """Cosine of every picture with every text. -> (N, M)"""
        image_ND, text_MD = np.atleast_2d(self.encode_image(pictures)), np.atleast_2d(self.encode_text(texts))
        return image_ND @ text_MD.T

    def match(self, pictures: Sequence[Picture], texts: Sequence[str]) -> np.ndarray:
        """How well each picture (N) fits the text (N) in its place, here their cosine; what recurs is encoded once.

        -> (N,) Raises UsageError for unequal numbers.
        """
        if len(pictures) != len(texts):
            raise UsageError(f"{len(pictures)} pictures cannot be matched with {len(texts)} texts one by one")
        pictures = list(pictures)  # held, or the id of one could come again
        shown, said = {id(picture): picture for picture in pictures}, list(dict.fromkeys(texts))
        image_ND, text_MD = self.encode_image(list(shown.values())), self.encode_text(said)
        row, column = ({key: place for place, key in enumerate(keys)} for keys in (shown, said))
        image_rows, text_rows = [row[id(picture)] for picture in pictures], [column[text] for text in texts]
        return np.einsum("nd,nd->n", image_ND[image_rows], text_MD[text_rows])

    @overload
    def classify(
        self, pictures: Picture, labels: Sequence[str], *, templates: str | Sequence[str] | None = None
    ) -> list[LabelScore]: ...

    @overload
    def classify(
        self, pictures: Sequence[Picture], labels: Sequence[str], *, templates: str | Sequence[str] | None = None
    ) -> list[list[LabelScore]]: ...

    def classify(
        self,
        pictures: Picture | Sequence[Picture],
        labels: Sequence[str],
        *,
        templates: str | Sequence[str] | None = None,
    ) -> list[LabelScore] | list[list[LabelScore]]:
        """The labels of a picture, best first, or of each picture of a sequence. Raises UsageError for bad labels.

        templates: a name or templates with one {}; by default those the model was judged with.
        """
        if isinstance(pictures, Picture):
            return self.label([pictures], labels, templates=templates)[0].labels
        return [each.labels for each in self.label(pictures, labels, templates=templates)]

    def label(
        self, pictures: Sequence[Picture], labels: Sequence[str], *, templates: str | Sequence[str] | None = None
    ) -> list[Labelled]:
        """As `classify`, and for each picture whether none of the labels fits."""
        return self.label_vectors(self.encode_image(pictures), labels, templates=templates)

    def label_vectors(
        self, image_ND: np.ndarray, labels: Sequence[str], *, templates: str | Sequence[str] | None = None
    ) -> list[Labelled]:
        """As `label`, of pictures whose unit vectors (N, D) are known."""
        names = [label.strip() for label in labels]
        if not names or not all(names) or len(set(names)) < len(names):
            raise UsageError(f"labels must be distinct and not empty; got {', '.join(map(repr, labels)) or 'none'}")
        class_CD = class_embeddings(self.encode_text, names, self.templates if templates is None else templates)
        cosine_NC = image_ND @ class_CD.T
        order_NC = np.argsort(-cosine_NC, axis=1, kind="stable")
        sorted_NC = np.take_along_axis(cosine_NC, order_NC, axis=1)
        share_NC = np.exp(np.exp(self.logit_scale) * (sorted_NC - sorted_NC[:, :1]))
        share_NC /= share_NC.sum(axis=1, keepdims=True)
        chance_NC, no_match_N = self._chances(sorted_NC)
        return [
            Labelled(
                [
                    LabelScore(label=names[c], share=float(share), probability=chance, cosine=float(cosine))
                    for c, share, chance, cosine in zip(order, shares, chances, cosines, strict=True)
                ],
                no_match,
            )
            for order, shares, chances, cosines, no_match in zip(
                order_NC, share_NC, chance_NC, sorted_NC, no_match_N, strict=True
            )
        ]

    def _chances(self, sorted_NC: np.ndarray) -> tuple[list[list[float]] | list[list[None]], list[bool] | list[None]]:
        """The chance of each label and whether none fits, of cosines that are sorted; None without calibration."""
        calibration = self.calibrations.get("labels")
        if calibration is None:
            return [[None] * sorted_NC.shape[1] for _ in sorted_NC], [None] * len(sorted_NC)
        spread = Spread.of_scores(sorted_NC)
        chance_NC, no_match_N = calibration.probability(sorted_NC, spread), calibration.no_match(sorted_NC, spread)
        return chance_NC.tolist(), no_match_N.tolist()
