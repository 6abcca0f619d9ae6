"""amodal index: the pictures of a folder or a table, kept so that they are found."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from amodal.cli.shown import open_model, print_json, say

if TYPE_CHECKING:
    from amodal.search import Embedder, RayCluster


def index(
    source: str = typer.Argument("", help="A folder of pictures, a caption table, shards, or `bundled`."),
    out: str = typer.Option("", help="The index: a folder, or the URL of an object store."),
    model: str = typer.Option(
        "", help="A run folder or any CLIP-like model; by default the one that made the index, else the packaged one."
    ),
    place: bool | None = typer.Option(None, "--place/--no-place", help="Keep where a photograph was taken, too."),
    embeddings: Path | None = typer.Option(None, help="Vectors that `amodal encode` wrote, to be used where they fit."),
    gone: bool = typer.Option(False, "--gone", help="What is not there is deleted, though its whole folder is away."),
    ray: str = typer.Option("", help="Read and embed on a Ray cluster: its address, `auto`, or `local` for a trial."),
    watch: bool = typer.Option(False, "--watch", help="Then keep up with the folder until stopped."),
    versions: bool = typer.Option(False, "--versions", help="List the versions of the index, and do nothing else."),
    roll_back: int | None = typer.Option(None, help="Make the index what it was at this version, and do nothing else."),
    forget: bool = typer.Option(False, "--forget", help="Delete older versions from the disk, and do nothing else."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Makes an index of pictures, or brings it up to date: only what is new or changed is read and embedded.

    amodal index photos --out photos.index
    """
    from amodal.core.errors import UsageError

    if not out:
        raise UsageError("where is the index? name it: amodal index FOLDER --out INDEX")
    if versions or roll_back is not None or forget:
        _look_after(out, roll_back, forget, as_json)
        return
    if not source:
        raise UsageError("what is to be indexed? name it: amodal index FOLDER --out INDEX")

    from amodal.search import check_watched
    from amodal.search import watch as keep_watch

    if watch:
        check_watched(source)
    _once(source, out, model, device, place, gone, embeddings, ray, as_json)
    if watch:
        say(f"watching {source}; Ctrl-C stops")
        again = (source, out, model, device, None, False, embeddings, ray, as_json)
        keep_watch(source, lambda: _once(*again), ignored=out, say=say)


def _once(
    source: str,
    out: str,
    model: str,
    device: str,
    place: bool | None,
    gone: bool,
    embeddings: Path | None,
    ray: str,
    as_json: bool,
) -> None:
    from amodal.search import PACKAGED_NAME, model_of, model_revision, pictures_by_content, update

    model = "" if model == PACKAGED_NAME else model or model_of(out)
    done = update(
        out,
        source,
        lambda: open_model(model, device).embedder,
        revision=model_revision(model),
        place=place,
        gone=gone,
        given=None if embeddings is None else lambda of: dict(pictures_by_content(embeddings, of.fingerprint)),
        cluster=_cluster(ray, model, device) if ray else None,
        say=say,
    )
    for path, reason in done.skipped:
        say(f"skipped {path}: {reason}")
    if as_json:
        print_json(done.to_json())
    else:
        say(f"{done.said}; {done.pictures:,} pictures in {out}, version {done.version}")


def _cluster(address: str, model: str, device: str) -> "RayCluster":
    from amodal.search import RayCluster, lasting_name

    source = lasting_name(model) if model else ""
    return RayCluster(address, partial(_embedder, source, device), gpus=device in ("auto", "cuda"), say=say)


def _embedder(source: str, device: str) -> "Embedder":
    """The model on a machine of a cluster, where this is imported and called."""
    import amodal

    return amodal.load(source or None, device=device).embedder


def _look_after(out: str, roll_back: int | None, forget: bool, as_json: bool) -> None:
    from amodal.search import Store

    store = Store(out)
    if roll_back is not None:
        store.roll_back(roll_back)
    if forget:
        store.forget()
    found = store.versions()
    if as_json:
        print_json({"versions": [version.to_json() for version in found]})
        return
    for version in found:
        print(
            f"{version.number}  {version.created}  {version.pictures:,} pictures  "
            f"{version.settings.model}  {version.did}"
        )
