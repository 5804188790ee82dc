"""``platecheck review``."""

from contextlib import closing
from functools import partial
from typing import Annotated

import typer

from platecheck.cli.options import FeedbackPhotos, FeedbackUrl
from platecheck.cli.terminal import print_url
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

    with closing(open_store(url, photos)) as store:
        on_ready = partial(print_url, hint="Open it in a browser.")
        serve_review(store, port=port, on_ready=on_ready)
