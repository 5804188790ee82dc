"""Console output. Text from outside may hold control characters and markup: escape it."""

import os
import unicodedata
from collections.abc import Mapping, Sequence

import rich.markup
from rich.console import Console
from rich.table import Table


def console(*, stderr: bool = False) -> Console:
    """Return a console that neither wraps lines nor replaces ``:emoji:`` codes."""
    return Console(stderr=stderr, soft_wrap=True, highlight=False, emoji=False)


def escape(text: str | os.PathLike[str]) -> str:
    """Escape text for `console`.

    Control characters and bytes that are not UTF-8 become ``\\x1b``; rich's markup is not
    interpreted.
    """
    printable = (
        character.encode("unicode_escape").decode()
        if unicodedata.category(character).startswith("C")
        else character
        for character in os.fspath(text)
    )
    return rich.markup.escape("".join(printable))


def show_first(lines: Sequence[str], target: Console, most: int = 10, hint: str = "") -> None:
    """Print the first lines, then how many were omitted."""
    for line in lines[:most]:
        target.print(f"  {escape(line)}")
    if len(lines) > most:
        target.print(f"  … and {len(lines) - most} more{hint}")


def print_url(url: str, *, hint: str) -> None:
    """Print where a server listens."""
    console().print(f"Serving at [bold]{escape(url)}[/]")
    console().print(f"{hint} Press Ctrl+C to stop.")


def count_table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """Return a table of photos per split and class."""
    classes = list(next(iter(counts.values())))
    table = Table("split", *map(escape, classes), box=None, pad_edge=False)
    for split, row in counts.items():
        table.add_row(escape(split), *(str(row[name]) for name in classes))
    return table
