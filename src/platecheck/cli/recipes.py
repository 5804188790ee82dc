"""``platecheck recipes``."""

from typing import Annotated

import typer
from rich.table import Table

from platecheck.cli.terminal import console, escape

app = typer.Typer(help="List the recipes, or show one.", invoke_without_command=True)


def complete_recipe(incomplete: str) -> list[str]:
    """Names of shipped recipes, for tab completion."""
    from platecheck.training.recipe import bundled_recipes

    return [name for name in bundled_recipes() if name.startswith(incomplete)]


@app.callback()
def recipes(context: typer.Context) -> None:
    """List the recipes that come with platecheck, a line each."""
    if context.invoked_subcommand is not None:
        return
    from platecheck.training.recipe import bundled_recipes, load_recipe

    table = Table(box=None, pad_edge=False)
    table.add_column("recipe", style="bold", no_wrap=True)
    table.add_column("what it is")
    for name in bundled_recipes():
        table.add_row(escape(name), escape(load_recipe(name).summary))
    console().print(table)


@app.command()
def show(
    recipe: Annotated[
        str, typer.Argument(help="Name or YAML file.", autocompletion=complete_recipe)
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value.")
    ] = None,
) -> None:
    """Print a recipe, every default written out."""
    from platecheck.training.recipe import load_recipe

    print(load_recipe(recipe, overrides or ()).to_yaml(), end="")
