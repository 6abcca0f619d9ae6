"""amodal recipes: list them, or copy one to edit."""

from pathlib import Path

import typer

from amodal.cli.shown import print_json, say

app = typer.Typer(invoke_without_command=True)


@app.callback()
def recipes(
    context: typer.Context, as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")
) -> None:
    """Lists the shipped recipes with what each needs and costs.

    amodal recipes
    """
    if context.invoked_subcommand is not None:
        return
    from amodal.recipes import read_recipe, recipe_names

    known = [read_recipe(name) for name in recipe_names()]
    if as_json:
        fields = ("name", "about", "needs", "cost")
        print_json({"recipes": [{field: getattr(recipe, field) for field in fields} for recipe in known]})
        return
    for recipe in known:
        print(f"{recipe.name}\n  {recipe.about}\n  needs: {recipe.needs}\n  cost: {recipe.cost}")


@app.command("copy")
def copy(
    name: str = typer.Argument(help="A shipped recipe."),
    out: Path | None = typer.Option(None, help="The file to write; by default NAME.yaml here."),
) -> None:
    """Copies a recipe to edit; run it with `amodal train FILE`.

    amodal recipes copy transfer
    """
    from amodal.core.errors import UsageError
    from amodal.core.files import atomic_write
    from amodal.recipes import recipe_path

    target = out or Path(f"{name}.yaml")
    if target.exists():
        raise UsageError(f"{target} exists already; give another with --out")
    atomic_write(target, recipe_path(name).read_bytes())
    say(f"wrote {target}; run it with: amodal train {target}")
