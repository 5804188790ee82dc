"""Serve the review page on the loopback interface."""

import contextlib
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn

from platecheck.errors import SettingsError
from platecheck.feedback.store import Store
from platecheck.serving.observability import log_config
from platecheck.serving.review_app import create_review

HOST = "127.0.0.1"


def serve_review(store: Store, *, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        store: the feedback to review.
        port: port to listen on; 0 picks a free one.
        on_ready: called with the URL once the socket is bound.

    Raises:
        SettingsError: The port cannot be used.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # like platecheck serve
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise SettingsError(f"cannot listen on {HOST}, port {port}: {error.strerror}") from error
    with listening:
        on_ready(f"http://{HOST}:{listening.getsockname()[1]}")
        config = uvicorn.Config(
            create_review(store),
            http="h11",
            ws="none",
            lifespan="off",
            server_header=False,
            access_log=False,
            log_config=log_config("warning"),
        )
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run([listening])
