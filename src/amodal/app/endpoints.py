"""The HTTP API and the page, as a FastAPI app (of `amodal[serve]`, imported here alone): thin calls of `Service`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import anyio.to_thread
from fastapi import FastAPI, Header, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from amodal import __version__
from amodal.app import messages as m
from amodal.app.metrics import CONTENT_TYPE, Metrics
from amodal.app.opening import Opening
from amodal.app.refusals import UNEXPECTED, Refused, refusal
from amodal.app.runs import list_runs, report_of
from amodal.core.errors import AmodalError, UsageError
from amodal.data.pictures import media_type

THREADS = 64
"""Requests whose plain calls run at once; most of their time they wait for the model."""

_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
_REPORT = {"content-security-policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"}
_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": m.ErrorOut} for code in (400, 401, 403, 404, 409, 413, 421, 422, 503, 504)
}
_WAIT, _BEAT = 0.2, 15.0
Content = Annotated[str, InPath(pattern=m.SHA256)]


def application(opening: Opening, metrics: Metrics, runs: Path | None) -> FastAPI:
    """The app. runs: the folder of runs that it shows."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        opening.start()
        yield
        await asyncio.to_thread(opening.close)

    app = FastAPI(
        title="amodal",
        version=__version__,
        description="Pictures and words of one model: classify, encode, compare, search, ground.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=_ERRORS,
    )
    _tell_errors(app)
    _add_model(app, opening)
    _add_index(app, opening)
    _add_rest(app, opening, metrics, runs)
    return app


def _add_model(app: FastAPI, opening: Opening) -> None:
    @app.post("/api/classify")
    def classify(asked: m.ClassifyIn) -> m.ClassifyOut:
        """The labels of each picture, best first."""
        return opening.service.classify(asked)

    @app.post("/api/encode")
    def encode(asked: m.EncodeIn) -> m.EncodeOut:
        """Unit vectors of pictures and texts."""
        return opening.service.encode(asked)

    @app.post("/api/similarity")
    def similarity(asked: m.SimilarityIn) -> m.SimilarityOut:
        """The cosine of each picture with each text."""
        return opening.service.similarity(asked)

    @app.post("/api/ground")
    def ground(asked: m.GroundIn) -> m.GroundOut:
        """Where in a picture the words of a sentence are."""
        return opening.service.ground(asked)


def _add_index(app: FastAPI, opening: Opening) -> None:
    @app.get("/api/index")
    def about_index() -> m.IndexOut:
        """What the index holds."""
        return opening.service.about_index()

    @app.post("/api/index", status_code=202)
    def update_index() -> m.UpdatingOut:
        """Begins to bring the index up to date from its own sources."""
        opening.service.update()
        return m.UpdatingOut(updating=True)

    @app.get(
        "/api/index/progress",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}, 204: {"description": "There is nothing to tell."}},
    )
    async def follow(last_event_id: Annotated[str | None, Header()] = None) -> Response:
        """Server-sent events: `progress` while the index is brought up to date, then `done` or `error`."""
        latest = opening.service.updater.latest
        if latest is None or (latest.event != "progress" and last_event_id == str(latest.number)):
            return Response(status_code=204)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_events(opening), media_type="text/event-stream", headers=headers)

    @app.post("/api/search")
    def search(asked: m.SearchIn) -> m.SearchOut:
        """The pictures of the index that fit best."""
        return opening.service.search(asked)

    @app.get("/api/pictures/{content}")
    def picture(content: Content) -> m.PictureOut:
        """What the index says of a picture."""
        return opening.service.picture(content)

    picture_kinds: dict[int | str, Any] = {200: {"content": {"image/jpeg": {}, "image/*": {}}}}

    @app.get("/api/pictures/{content}/thumbnail", response_class=Response, responses=picture_kinds)
    def thumbnail(content: Content) -> Response:
        """A JPEG, at most 256 pixels a side."""
        return Response(opening.service.thumbnail(content), media_type="image/jpeg", headers=_FOREVER)

    @app.get("/api/pictures/{content}/file", response_class=Response, responses=picture_kinds)
    def file(content: Content) -> Response:
        """The picture itself, where its file lies in a folder of the index or one named at start."""
        data = opening.service.file(content)
        return Response(data, media_type=media_type(data), headers=_FOREVER)


def _add_rest(app: FastAPI, opening: Opening, metrics: Metrics, runs: Path | None) -> None:
    @app.get("/health")
    def health() -> m.HealthOut:
        """Whether the model is loaded and warm."""
        return m.HealthOut(status="ok", model=opening.service.model.name, version=__version__)

    app.add_api_route("/health", health, methods=["HEAD"], include_in_schema=False)  # as load balancers ask

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def figures() -> Response:
        """Figures for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/api/status")
    def status() -> m.StatusOut:
        """What this service has, and its limits."""
        return opening.service.status()

    @app.get("/api/runs")
    def all_runs() -> m.RunsOut:
        """The runs of the folder that was named at start."""
        return m.RunsOut(runs=list_runs(runs))

    @app.get("/api/runs/{name}/report", response_class=Response, responses={200: {"content": {"text/html": {}}}})
    def report(name: str) -> Response:
        """The report of a run."""
        return Response(report_of(runs, name), media_type="text/html; charset=utf-8", headers=_REPORT)

    @app.get("/", include_in_schema=False)
    def index_page() -> Response:
        return _static("index.html")

    @app.get("/page/{name:path}", include_in_schema=False)
    def page(name: str) -> Response:
        return _static(name)


def _static(name: str) -> Response:
    """A file of the page. Only what its folder holds can be named."""
    parts = PurePosixPath(name).parts
    found = files("amodal.app") / "page"
    for part in parts:
        inside = {each.name: each for each in found.iterdir()} if found.is_dir() else {}
        if part not in inside:
            raise Refused(404, "there is no such page")
        found = inside[part]
    kind = _KINDS.get(PurePosixPath(name).suffix)
    if kind is None or not found.is_file():
        raise Refused(404, "there is no such page")
    return Response(found.read_bytes(), headers={"content-type": kind, "cache-control": "no-cache"})


async def _events(opening: Opening) -> AsyncIterator[str]:
    """Every news of the update that runs, and how it ends."""
    place, quiet = 0, 0.0
    told = opening.service.updater.told  # of this update, while it grows
    while not opening.stopping():
        while place < len(told):
            latest, place, quiet = told[place], place + 1, 0.0
            name = "" if latest.event == "progress" else f"id: {latest.number}\n"
            yield f"{name}event: {latest.event}\ndata: {json.dumps(dict(latest.data), ensure_ascii=False)}\n\n"
            if latest.event != "progress":
                return
        await asyncio.sleep(_WAIT)
        quiet += _WAIT
        if quiet >= _BEAT:
            quiet = 0.0
            yield ": still there\n\n"  # a comment, so that no proxy takes the stream for dead
    stopped = {"message": "the service stops; the next update goes on from where this one was"}
    yield f"event: error\ndata: {json.dumps(stopped)}\n\n"


def _tell_errors(app: FastAPI) -> None:
    """Every error as `{"error": {"message", "field"}}`."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return JSONResponse(error.to_json(), error.status, {"retry-after": "1"} if error.status == 503 else None)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            reason = first.get("ctx", {}).get("error", "")
            return JSONResponse(refusal(f"the body is not JSON: {reason}"), 422)
        place = [str(part) for part in first["loc"][1:]]
        said = first["msg"].removeprefix("Value error, ")
        return JSONResponse(refusal(f"{'.'.join(place) or 'the body'}: {said}", ".".join(place) or None), 422)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        return JSONResponse(refusal(str(error.detail)), error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        return JSONResponse(refusal(UNEXPECTED), 500)

    @app.exception_handler(AmodalError)
    async def ours(request: Request, error: AmodalError) -> Response:
        return JSONResponse(refusal(str(error)), 422 if isinstance(error, UsageError) else 503)
