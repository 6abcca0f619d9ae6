"""What goes in and out, as pydantic models: their fields are the API's, and OpenAPI is made of them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SHA256 = r"^[0-9a-f]{64}$"
MOST_NUMBERS = 65_536
Text = Annotated[str, Field(min_length=1)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PictureIn(_Message):
    """A picture: `data` holds the file in base64, `content` names one of the index by its SHA-256, `path` one below a
    folder that was named when the service started, `vector` is what `/api/encode` said of it. One of the four."""

    data: Annotated[str, Field(min_length=1)] | None = None
    content: Annotated[str, Field(pattern=SHA256)] | None = None
    path: Text | None = None
    vector: Annotated[list[float], Field(min_length=1, max_length=MOST_NUMBERS)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "PictureIn":
        if sum(each is not None for each in (self.data, self.content, self.path, self.vector)) != 1:
            raise ValueError("give one of data, content, path and vector")
        return self


class TermIn(_Message):
    """A part of a query: words or a picture; below zero a weight takes it away."""

    words: Text | None = None
    picture: PictureIn | None = None
    weight: Annotated[float, Field(ge=-100, le=100)] = 1.0

    @model_validator(mode="after")
    def _one(self) -> "TermIn":
        if (self.words is None) == (self.picture is None):
            raise ValueError("give words or a picture")
        return self


class SearchIn(_Message):
    """A search. Without terms everything that passes `where`, a filter in SQL on the index's attributes, is listed."""

    terms: list[TermIn] = []
    where: str = ""
    top: Annotated[int, Field(ge=1, le=200)] = 24
    page: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    sort: Literal["score", "date"] = "score"
    at_least: Annotated[float, Field(ge=-1, le=1)] | None = None
    probability_at_least: Annotated[float, Field(ge=0, le=1)] | None = None


class ResultOut(_Message):
    """A picture that was found. score: cosine; probability: that it belongs to the query, null without calibration;
    exact: the words stand in its name, captions or tags; copies: near-duplicates; kept: its attributes; weak: below
    the line of a good match; width, height: of its thumbnail in pixels, null where it has none."""

    path: str
    content: str
    score: float | None
    probability: float | None
    exact: bool
    copies: list[str]
    kept: dict[str, Any]
    weak: bool
    width: int | None = None
    height: int | None = None


class SearchOut(_Message):
    """A page of results, best first. no_match: whether nothing fits, null where that is not known; total: pictures that
    pass; notes: what to know about the query."""

    results: list[ResultOut]
    no_match: bool | None
    page: int
    total: int
    more: bool
    notes: list[str]
    milliseconds: float


class PictureOut(_Message):
    """A picture of the index; width and height are null where its file cannot be reached."""

    path: str
    content: str
    kept: dict[str, Any]
    captions: list[str]
    width: int | None
    height: int | None


class ClassifyIn(_Message):
    """Pictures and the labels among which to choose."""

    pictures: Annotated[list[PictureIn], Field(min_length=1)]
    labels: Annotated[list[Text], Field(min_length=1)]


class LabelOut(_Message):
    """share: of all labels, sums to one; probability: the calibrated chance that the label fits, null without
    calibration; cosine: what both come from."""

    label: str
    share: float
    probability: float | None
    cosine: float


class LabelledOut(_Message):
    """The labels of a picture, best first. no_match: whether none fits, null without calibration."""

    labels: list[LabelOut]
    no_match: bool | None


class ClassifyOut(_Message):
    """One result a picture, in order."""

    results: list[LabelledOut]


class EncodeIn(_Message):
    """Pictures and texts, either of which may be absent."""

    pictures: list[PictureIn] = []
    texts: list[Text] = []


class EncodeOut(_Message):
    """Unit vectors of the joint space, in order."""

    pictures: list[list[float]]
    texts: list[list[float]]


class SimilarityIn(_Message):
    """Pictures and texts, each of which is compared with each."""

    pictures: Annotated[list[PictureIn], Field(min_length=1)]
    texts: Annotated[list[Text], Field(min_length=1)]


class SimilarityOut(_Message):
    """cosine: a row a picture, a column a text."""

    cosine: list[list[float]]


class GroundIn(_Message):
    """A picture and what to look for in it."""

    picture: PictureIn
    sentence: Text


class PhraseOut(_Message):
    """A phrase of the sentence and where it is: a box (left, top, right, bottom) in pixels of the picture."""

    text: str
    box: list[float]
    score: float


class WordOut(_Message):
    """A word of the sentence: at each place of a grid over the picture, the chance that it is seen there."""

    text: str
    map: list[list[float]]


class GroundOut(_Message):
    """score: the chance that the sentence fits, null for a model that learnt no matching."""

    score: float | None
    phrases: list[PhraseOut]
    words: list[WordOut]
    width: int
    height: int


class ModelOut(_Message):
    """The model. calibrated: whether words that look for pictures, and labels of pictures, have probabilities;
    languages: those it was trained in, empty where that is not known; grounds: whether `ground` works."""

    name: str
    fingerprint: str
    width: int
    calibrated: dict[str, bool]
    languages: list[str]
    grounds: bool


class VersionOut(_Message):
    """A time when the index was complete."""

    number: int
    date: str
    pictures: int


class AttributeOut(_Message):
    """What a filter may ask for; type: text, number, date or texts."""

    name: str
    type: str


class SkippedOut(_Message):
    """A file that could not be read, and why."""

    path: str
    reason: str


class IndexOut(_Message):
    """The index. source: what it was made of; updating: whether it is being brought up to date; skipped: the first of
    the files that could not be read."""

    where: str
    pictures: int
    source: list[str]
    model: str
    version: int
    versions: list[VersionOut]
    attributes: list[AttributeOut]
    updating: bool
    skipped: list[SkippedOut]


class LimitsOut(_Message):
    """What a request may ask for; see `amodal.app.Limits`."""

    bytes: int
    pixels: int
    pictures: int
    texts: int
    characters: int
    seconds: int


class StatusOut(_Message):
    """What this service has."""

    model: ModelOut
    index: IndexOut | None
    limits: LimitsOut


class HealthOut(_Message):
    """Whether the service answers."""

    status: Literal["ok"]
    model: str
    version: str


class UpdatingOut(_Message):
    """The index is being brought up to date."""

    updating: Literal[True]


class RunOut(_Message):
    """A run: what it was trained by, its figures, and the address of its report, null where it has none."""

    name: str
    recipe: str
    figures: dict[str, Any]
    report: str | None


class RunsOut(_Message):
    """The runs of the folder that was named at start."""

    runs: list[RunOut]


class ErrorIn(_Message):
    """What is wrong; field: where in the request, as "terms.0.weight", null for no one place."""

    message: str
    field: str | None


class ErrorOut(_Message):
    """The body of every answer that is an error."""

    error: ErrorIn
