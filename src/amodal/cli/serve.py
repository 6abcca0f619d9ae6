"""amodal serve: the model, and an index, over HTTP; and a page to use them with."""

from pathlib import Path

import typer

from amodal.cli.shown import say


def serve(
    model: str = typer.Option("", help="A run folder or any CLIP-like model; by default the index's, or the packaged."),
    index: str = typer.Option("", help="An index that `amodal index` made."),
    calibration: Path | None = typer.Option(None, help="What `amodal calibrate --out` wrote, in place of its own."),
    reader: str = typer.Option("", help="The run of a reader, which finds words in pictures (`amodal ground`)."),
    runs: Path | None = typer.Option(None, help="A folder of runs, whose reports the page shows."),
    folder: list[Path] = typer.Option([], help="Pictures below it may be named by their path; may be given again."),
    host: str = typer.Option("127.0.0.1", help="Where to listen; elsewhere than on this machine a token is needed."),
    port: int = typer.Option(8000, min=0, max=65535, help="0 takes one that is free."),
    token: str = typer.Option(
        "", envvar="AMODAL_TOKEN", help="What who asks must show; by default one is made where one is needed."
    ),
    allow_host: list[str] = typer.Option([], help="A further name it is asked by, as behind a proxy; again for more."),
    limit: list[str] = typer.Option([], help="NAME=VALUE, as pixels=20000000; may be given again."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
) -> None:
    """Answers over HTTP: classify, encode, compare, search, ground; with a page in the browser.

    amodal serve --index photos.index
    """
    from amodal.core.errors import UsageError

    try:
        from amodal.app.server import Place
        from amodal.app.server import serve as answer
    except ImportError as error:
        raise UsageError(
            f"the service needs FastAPI and more ({error}); install it with: pip install amodal[serve]"
        ) from error
    from amodal.app import Limits
    from amodal.app.service import Setup

    absent = [each for each in (*folder, *([runs] if runs else [])) if not each.is_dir()]
    if absent:
        raise UsageError(f"there is no folder {absent[0]}; check the path")
    setup = Setup(
        model=model,
        calibration=calibration,
        reader=reader,
        index=index,
        runs=runs,
        folders=tuple(folder),
        device=device,
        limits=Limits().changed(limit),
    )
    answer(setup, Place(host=host, port=port, names=tuple(allow_host), token=token), say)
