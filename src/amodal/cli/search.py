"""amodal search: pictures of an index that fit words, or a picture."""

from pathlib import Path

import typer

from amodal.cli.shown import open_model, print_json, say


def search(
    index: str = typer.Argument(help="An index that `amodal index` made."),
    query: list[str] = typer.Argument(None, help='Words or pictures, added up; "snow:0.5" counts half.'),
    minus: list[str] = typer.Option([], help="Words or a picture to take away; may be given again."),
    where: str = typer.Option("", help='A filter on attributes, such as "year > 2015".'),
    top: int = typer.Option(10, min=1, help="How many results a page has."),
    page: int = typer.Option(1, min=1, help="Which page of the results."),
    sort: str = typer.Option("score", help="score or date."),
    at_least: float | None = typer.Option(None, help="The cosine below which a picture is left out."),
    probability_at_least: float | None = typer.Option(
        None, min=0, max=1, help="The same for the probability, of words alone and with a calibrated model."
    ),
    paths: bool = typer.Option(False, "--paths", help="Print nothing but paths, one a line, near-duplicates too."),
    model: str = typer.Option("", help="A run folder or any CLIP-like model; by default the one that made the index."),
    calibration: Path | None = typer.Option(None, help="What `amodal calibrate --out` wrote, in place of its own."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or mps."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Finds pictures by words, by a picture, or by several of both. Without a query it lists what passes --where.

    amodal search photos.index "a dog in the snow" --minus people --where "year > 2015"
    """
    from typing import cast

    from amodal.core.errors import UsageError
    from amodal.search import Embedder, Index, Settings
    from amodal.search.query import Order

    def embedder(settings: Settings) -> Embedder:
        try:
            return open_model(model or settings.origin, device, calibration).embedder
        except UsageError as error:
            if model or not settings.origin or calibration:
                raise
            raise UsageError(
                f"{index} was made with {settings.origin}; say by --model where it is now ({error})"
            ) from error

    opened = Index(index, embedder)
    found = opened.search(
        query or [],
        minus=minus,
        where=where,
        top=top,
        page=page,
        sort=cast(Order, sort),
        at_least=at_least,
        probability_at_least=probability_at_least,
    )
    for note in found.notes:
        say(note)
    if as_json:
        print_json(found.to_json())
        return
    for result in found:
        print(*([result.path, *result.copies] if paths else [result.line()]), sep="\n")
    say(found.summary())
