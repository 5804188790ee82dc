"""``platecheck review``."""

from pathlib import Path
from typing import Annotated

import typer

from platecheck.cli.terminal import console, escape
from platecheck.errors import MissingExtraError


def review(
    url: Annotated[str, typer.Argument(help="The database of platecheck serve --feedback.")],
    photos: Annotated[Path, typer.Option(help="Folder of its photos.")],
    # Not any free one: browsers remember a reviewer's name by the address.
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8001,
) -> None:
    """Open a page on which people decide what is right of the photos of feedback.

    Several may review the same photos, also from several machines: none sees what the others
    decided. Only this machine reaches the page.
    """
    try:
        from platecheck.feedback.store import open_store
        from platecheck.serving.review.server import serve_review
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reviewing", "serve,feedback") from error

    stdout = console()

    def say(address: str) -> None:
        stdout.print(f"platecheck review is at [bold]{escape(address)}[/]")
        stdout.print("Open it in a browser. Ctrl+C stops it.")

    store = open_store(url, photos)
    try:
        serve_review(store, port=port, on_ready=say)
    finally:
        store.close()
