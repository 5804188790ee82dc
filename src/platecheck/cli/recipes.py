"""``platecheck recipes``."""

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from platecheck.cli.terminal import console, escape

if TYPE_CHECKING:
    from platecheck.training.recipe import Recipe

app = typer.Typer(help="List the shipped recipes, or print one.", invoke_without_command=True)


def complete_recipe(incomplete: str) -> list[str]:
    """Complete the names of shipped recipes."""
    from platecheck.training.recipe import bundled_recipes

    return [name for name in bundled_recipes() if name.startswith(incomplete)]


def read_recipe(name: str, overrides: Sequence[str]) -> "Recipe":
    """Load a recipe and print a note on stderr for each deprecated name in it."""
    from platecheck.training.recipe import load_recipe

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecationWarning)
        recipe = load_recipe(name, overrides)
    if os.environ.get("LOCAL_RANK", "0") == "0":  # not in every process of a distributed training
        for warning in caught:
            console(stderr=True).print(f"[yellow]note:[/] {escape(str(warning.message))}")
    return recipe


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
def show(
    recipe: Annotated[
        str,
        typer.Argument(help="Name of a recipe, or a YAML file.", autocompletion=complete_recipe),
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value.")
    ] = None,
) -> None:
    """Print a recipe with all defaults."""
    print(read_recipe(recipe, overrides or ()).to_yaml(), end="")
