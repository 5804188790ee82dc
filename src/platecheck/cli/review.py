"""``platecheck review``."""

from typing import Annotated

import typer

from platecheck.cli.options import FeedbackPhotos, FeedbackUrl
from platecheck.cli.terminal import console, escape
from platecheck.errors import MissingExtraError


def review(
    url: FeedbackUrl,
    photos: FeedbackPhotos = None,
    # Fixed, because browsers store the reviewer name per origin.
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")
    ] = 8001,
) -> None:
    """Review feedback photos on a web page.

    Several people can review the same photos independently, also from several machines. The page
    is served on this machine only.
    """
    try:
        from platecheck.feedback.store import open_store
        from platecheck.serving.review_app import serve_review
    except ModuleNotFoundError as error:
        raise MissingExtraError("Reviewing", "serve,feedback") from error

    stdout = console()

    def print_url(address: str) -> None:
        stdout.print(f"Serving at [bold]{escape(address)}[/]")
        stdout.print("Open it in a browser. Press Ctrl+C to stop.")

    store = open_store(url, photos)
    try:
        serve_review(store, port=port, on_ready=print_url)
    finally:
        store.close()
