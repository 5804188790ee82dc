"""``platecheck recipes``."""

import typer
from rich.table import Table

from platecheck.cli.options import Overrides, RecipeName
from platecheck.cli.terminal import console, escape

app = typer.Typer(help="List the shipped recipes, or print one.", invoke_without_command=True)


@app.callback()
def recipes(context: typer.Context) -> None:
    """List the shipped recipes."""
    if context.invoked_subcommand is not None:
        return
    from platecheck.training.recipe import bundled_recipes, load_recipe

    table = Table(box=None, pad_edge=False)
    table.add_column("recipe", style="bold", no_wrap=True)
    table.add_column("summary")
    for name in bundled_recipes():
        table.add_row(escape(name), escape(load_recipe(name).summary))
    console().print(table)


@app.command()
def show(recipe: RecipeName, overrides: Overrides = None) -> None:
    """Print a recipe with all defaults."""
    from platecheck.training.recipe import load_recipe

    print(load_recipe(recipe, overrides or ()).to_yaml(), end="")
