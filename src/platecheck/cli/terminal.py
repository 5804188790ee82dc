"""Writing for people: names may hold anything, also what a terminal takes for an order."""

import os
import unicodedata
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def terminal(*, stderr: bool = False) -> Console:
    """Where to print: lines are not broken, and :words: are not turned into pictures."""
    return Console(stderr=stderr, soft_wrap=True, highlight=False, emoji=False)


def shown(name: str | os.PathLike[str]) -> str:
    """A name as a person may see it, safe to print on :func:`terminal`.

    Control characters and bytes that are not UTF-8 are written as ``\\x1b``, and what looks like
    rich's markup stays as it is.
    """
    printable = (
        character.encode("unicode_escape").decode()
        if unicodedata.category(character).startswith("C")
        else character
        for character in os.fspath(name)
    )
    return escape("".join(printable))


def show_first(lines: Sequence[str], console: Console, most: int = 10, hint: str = "") -> None:
    """Print the first of many lines, and how many more there are."""
    for line in lines[:most]:
        console.print(f"  {shown(line)}")
    if len(lines) > most:
        console.print(f"  … and {len(lines) - most} more{hint}")


def count_table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """How many photos of each class, by split."""
    classes = list(next(iter(counts.values())))
    table = Table("split", *map(shown, classes), box=None, pad_edge=False)
    for split, row in counts.items():
        table.add_row(shown(split), *(str(row[name]) for name in classes))
    return table
