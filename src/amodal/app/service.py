"""What the service does, in plain calls that any number of threads make at once; knows nothing of HTTP.

N pictures · M texts · D width of the joint space
"""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from amodal.app.encoder import SharedEncoder, shared
from amodal.app.filters import check_filter
from amodal.app.limits import Limits
from amodal.app.messages import (
    AttributeOut,
    ClassifyIn,
    ClassifyOut,
    EncodeIn,
    EncodeOut,
    GroundIn,
    GroundOut,
    IndexOut,
    LabelledOut,
    LabelOut,
    LimitsOut,
    ModelOut,
    PhraseOut,
    PictureIn,
    PictureOut,
    ResultOut,
    SearchIn,
    SearchOut,
    SimilarityIn,
    SimilarityOut,
    SkippedOut,
    StatusOut,
    TermIn,
    VersionOut,
    WordOut,
)
from amodal.app.refusals import Refused
from amodal.app.sources import Pictures, below, check_pixels, read_file, same_content
from amodal.app.updating import Job, Updater
from amodal.core.errors import UsageError
from amodal.data.bundled import photos
from amodal.data.pictures import BytesRef
from amodal.data.rows import Row, SkipLog
from amodal.inference import FusedModel, Model, load, load_fused
from amodal.search import FilterError, Index, Result, Term, Words

NO_INDEX = "this service has no index; start it with: amodal serve --index INDEX"
MOST_SKIPPED = 100


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the service is started with, as the options of `amodal serve`."""

    model: str = ""
    calibration: Path | None = None
    reader: str = ""
    index: str = ""
    runs: Path | None = None
    folders: tuple[Path, ...] = ()
    device: str = "auto"
    limits: Limits = field(default_factory=Limits)


class Service:
    """A model, its index and a reader, opened and warm. Raises what `amodal.load` and `Index` raise."""

    def __init__(self, setup: Setup, told: Any = lambda kind, size: None) -> None:
        self.setup, self.limits = setup, setup.limits
        origin = setup.model
        if setup.index and not origin:
            origin = Index(setup.index, lambda settings: _never()).settings.origin
        loaded = load(origin or None, device=setup.device, calibration=setup.calibration)
        self.encoder: SharedEncoder = shared(loaded.encoder, told)
        self.model: Model = copy.copy(loaded)
        self.model.encoder = self.encoder
        self.reader: FusedModel | None = load_fused(setup.reader, device=setup.device) if setup.reader else None
        self.index: Index | None = self.model.open_index(setup.index) if setup.index else None
        self._shapes: dict[str, dict[str, int]] = {}  # content names what never changes
        job = Job(where=setup.index, model=origin, device=setup.device)
        self.updater = Updater(job, self._reopen)
        self._warm()

    def close(self) -> None:
        """Finishes what is computed, and stops an update."""
        self.updater.stop()
        self.encoder.batching.close()

    def status(self) -> StatusOut:
        """See the answer."""
        model, limits = self.model, self.limits
        told = ModelOut(
            name=model.name,
            fingerprint=model.fingerprint,
            width=model.width,
            calibrated={kind: kind in model.calibrations for kind in ("words", "labels")},
            languages=list(model.languages),
            grounds=self.reader is not None,
        )
        shown = {name: getattr(limits, name) for name in LimitsOut.model_fields}
        return StatusOut(
            model=told, index=None if self.index is None else self.about_index(), limits=LimitsOut(**shown)
        )

    def about_index(self) -> IndexOut:
        """See the answer. Raises Refused without an index."""
        index = self._index()
        settings, versions = index.settings, index.versions
        return IndexOut(
            where=index.where,
            pictures=len(index),
            source=list(settings.sources),
            model=settings.model,
            version=versions[-1].number if versions else 0,
            versions=[VersionOut(number=v.number, date=v.created, pictures=v.pictures) for v in versions],
            attributes=[AttributeOut(name=name, type=kind) for name, kind in index.attributes.items()],
            updating=self.updater.running,
            skipped=[SkippedOut(path=path, reason=why) for path, why in index.skipped[:MOST_SKIPPED]],
        )

    def update(self) -> None:
        """Starts to bring the index up to date. Raises Refused without one, and where that is under way."""
        self._index()
        if not self.updater.start():
            raise Refused(409, "the index is being brought up to date already; see /api/index/progress")

    def search(self, asked: SearchIn) -> SearchOut:
        """The pictures that fit best."""
        index, started = self._index(), time.perf_counter()
        self._check_search(asked, index)
        terms = self._terms(asked.terms)
        options = asked.model_dump(exclude={"terms"})
        with _about("terms"):
            found = index.search(terms, **options).to_json()
        results = [ResultOut(**{**each, **self._shape(each["content"])}) for each in found.pop("results")]
        spent = 1000 * (time.perf_counter() - started)
        return SearchOut(results=results, **found, milliseconds=round(spent, 2))

    def picture(self, content: str) -> PictureOut:
        """What the index says of a picture. Raises Refused where it has none."""
        first = self._row(content)
        data = self._file_of(content)
        width, height = (None, None) if data is None else check_pixels(data, self.limits, "content")
        kept = first.to_json()["kept"]
        captions = kept.pop("captions", [])
        return PictureOut(path=first.path, content=content, kept=kept, captions=captions, width=width, height=height)

    def _shape(self, content: str) -> dict[str, int]:
        """Width and height of a thumbnail, so that a page can keep its place; empty where there is none."""
        if content not in self._shapes:
            shape = self._index().store.thumbnails.shape(content)
            self._shapes[content] = {} if shape is None else {"width": shape[0], "height": shape[1]}
        return self._shapes[content]

    def thumbnail(self, content: str) -> bytes:
        """A JPEG, at most 256 pixels a side. Raises Refused where there is none."""
        found = self._index().store.thumbnails.get(content)
        if found is None:
            raise Refused(404, "the index has no such thumbnail")
        return found

    def file(self, content: str) -> bytes:
        """The picture itself. Raises Refused where its file cannot be reached, or is another one by now."""
        self._row(content)
        data = self._file_of(content)
        if data is None:
            raise Refused(
                404,
                "the file of this picture is not there, has changed, or lies neither in the index's own folders nor "
                "below one that was named when the service started",
            )
        return data

    def classify(self, asked: ClassifyIn) -> ClassifyOut:
        """The labels of each picture."""
        self._check_texts(_named(asked.labels, "labels"), "labels")
        image_ND = self._vectors(asked.pictures, "pictures")
        with _about("labels"):
            found = self.model.label_vectors(image_ND, asked.labels)
        results = [
            LabelledOut(labels=[LabelOut(**label) for label in each.labels], no_match=each.no_match) for each in found
        ]
        return ClassifyOut(results=results)

    def encode(self, asked: EncodeIn) -> EncodeOut:
        """Unit vectors."""
        self._check_texts(_named(asked.texts, "texts"), "texts")
        pictures = self._vectors(asked.pictures, "pictures") if asked.pictures else np.empty((0, 0))
        return EncodeOut(pictures=pictures.tolist(), texts=self.model.encode_text(asked.texts).tolist())

    def similarity(self, asked: SimilarityIn) -> SimilarityOut:
        """Cosines."""
        self._check_texts(_named(asked.texts, "texts"), "texts")
        image_ND = self._vectors(asked.pictures, "pictures")
        return SimilarityOut(cosine=(image_ND @ self.model.encode_text(asked.texts).T).tolist())

    def ground(self, asked: GroundIn) -> GroundOut:
        """Where the words of a sentence are. Raises Refused without a reader."""
        reader = self.reader
        if reader is None:
            raise Refused(
                409, "this service has no reader; train one with: amodal train matching, and start with --reader RUN"
            )
        self._check_texts({"sentence": asked.sentence}, "sentence")
        data = self._bytes(asked.picture, Pictures(self.limits, self.setup.folders), "picture")
        with _about("sentence"):
            found = self.encoder.alone(lambda: reader.ground(data, asked.sentence))
        phrases = [PhraseOut(text=p.text, box=list(p.box), score=p.probability) for p in found.phrases]
        words = [WordOut(text=word.text, map=word.map_GG.round(4).tolist()) for word in found.words]
        width, height = found.size
        return GroundOut(score=found.probability, phrases=phrases, words=words, width=width, height=height)

    def _terms(self, given: Sequence[TermIn]) -> list[Term]:
        pictures = [(f"terms.{n}.picture", term.picture) for n, term in enumerate(given) if term.picture is not None]
        vectors = iter(self._vectors([each for _, each in pictures], [field for field, _ in pictures]))
        return [Term(next(vectors) if term.picture is not None else Words(term.words), term.weight) for term in given]

    def _vectors(self, pictures: Sequence[PictureIn], fields: str | Sequence[str]) -> np.ndarray:
        """Unit vectors of a request's pictures; those of the index have theirs there. -> (N, D)"""
        if len(pictures) > self.limits.pictures:
            raise Refused(
                413, f"{self.limits.pictures} pictures are allowed at once; ask again for the others", "pictures"
            )
        names = [f"{fields}.{n}" for n in range(len(pictures))] if isinstance(fields, str) else list(fields)
        opened, contents = Pictures(self.limits, self.setup.folders), [each.content for each in pictures]
        known = self._index().vectors([each for each in contents if each]) if any(contents) else {}
        found = list[Any]()
        for picture, name in zip(pictures, names, strict=True):
            if picture.vector is not None:
                found.append(self._unit(picture.vector, f"{name}.vector"))
            elif picture.content is None:
                found.append(opened.read(picture, name))
            elif picture.content in known:
                found.append(known[picture.content])
            else:
                raise Refused(404, "the index has no such picture", f"{name}.content")
        for place, vector_D in self._encoded(
            {n: each for n, each in enumerate(found) if isinstance(each, bytes)}, names
        ):
            found[place] = vector_D
        return np.stack(found) if found else np.empty((0, self.model.width), np.float32)

    def _unit(self, given: Sequence[float], field: str) -> np.ndarray:
        """A vector of this model's width, of length 1. -> (D,)"""
        vector_D = np.asarray(given, np.float64)
        length = np.linalg.norm(vector_D)
        if vector_D.shape != (self.model.width,) or not 1e-6 < length < 1e6:
            raise Refused(422, f"this is no vector of {self.model.width} numbers, as /api/encode gives them", field)
        return (vector_D / length).astype(np.float32)

    def _encoded(self, data: Mapping[int, bytes], names: Sequence[str]) -> Iterator[tuple[int, np.ndarray]]:
        """place -> bytes of pictures; place and vector of each. names: of all places, for a Refused."""
        skipped = SkipLog(limit=1.0)
        rows = [Row(key=names[n], picture=BytesRef(each), captions=("",), pair="") for n, each in data.items()]
        vector_ND, _ = self.encoder.images(rows, skipped)
        if skipped.entries:
            raise Refused(422, skipped.entries[0].reason, skipped.entries[0].key)
        yield from zip(data, vector_ND, strict=True)

    def _bytes(self, picture: PictureIn, opened: Pictures, field: str) -> bytes:
        if picture.vector is not None:
            raise Refused(422, "a vector has no places; give the picture itself", f"{field}.vector")
        if picture.content is None:
            return opened.read(picture, field)
        self._row(picture.content)
        return self.file(picture.content)

    def _row(self, content: str) -> Result:
        rows = self._index().by_content(content)
        if not rows:
            raise Refused(404, "the index has no such picture")
        return rows[0]

    def _file_of(self, content: str) -> bytes | None:
        """The bytes of a picture of the index, from any file that holds them and may be shown."""
        index = self._index()
        folders = [*self.setup.folders, *(_folder(source) for source in index.settings.sources)]
        for row in index.by_content(content):
            path = below(row.path, folders) if Path(row.path).is_absolute() else None
            data = None if path is None else read_file(path, self.limits)
            if same_content(data, content):
                return data
        return None

    def _index(self) -> Index:
        if self.index is None:
            raise Refused(404, NO_INDEX)
        return self.index

    def _reopen(self) -> None:
        self.index = self.model.open_index(self.setup.index)

    def _check_search(self, asked: SearchIn, index: Index) -> None:
        if asked.page * asked.top > self.limits.results:
            raise Refused(422, f"the first {self.limits.results:,} results can be seen; narrow the search", "page")
        words = {f"terms.{n}.words": term.words for n, term in enumerate(asked.terms) if term.words is not None}
        self._check_texts(words, "terms")
        alone = len(asked.terms) == 1 and asked.terms[0].words is not None and "words" in self.model.calibrations
        if asked.probability_at_least is not None and not alone:
            raise Refused(422, "this needs words alone, and a model that is calibrated", "probability_at_least")
        if asked.where.strip():
            check_filter(asked.where, index.attributes, self.limits.characters)

    def _check_texts(self, texts: Mapping[str, str], field: str) -> None:
        """texts: by the field that each stands in; field: of them all."""
        limits = self.limits
        if len(texts) > limits.texts:
            raise Refused(413, f"{len(texts):,} texts are given and {limits.texts} are allowed at once", field)
        for name, text in texts.items():
            if len(text) > limits.characters:
                raise Refused(413, f"the text has {len(text):,} characters and {limits.characters:,} are allowed", name)
            if not text.strip():
                raise Refused(422, "the text is empty", name)

    def _warm(self) -> None:
        """One of everything, so that no request pays for what is done once."""
        self.model.label([next(iter(photos().values()))], ["a picture", "a text"])
        _ = self.model.fingerprint, self.model.width
        if self.index is not None:
            self.index.search("a picture", top=1)
        if self.reader is not None:
            self.reader.ground(next(iter(photos().values())), "a picture")


def _named(texts: Sequence[str], field: str) -> dict[str, str]:
    return {f"{field}.{number}": text for number, text in enumerate(texts)}


@contextmanager
def _about(field: str) -> Iterator[None]:
    """What is wrong with a field, as Refused; of a filter it says so itself."""
    try:
        yield
    except FilterError as error:
        raise Refused(422, str(error), "where") from error
    except UsageError as error:
        raise Refused(422, str(error), field) from error


def _folder(source: str) -> Path:
    path = Path(source)
    return path if path.is_dir() else path.parent


def _never() -> Any:
    raise AssertionError("only the settings were asked for")
