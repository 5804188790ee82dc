"""Run the service in one process or several."""

import logging
import os
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from platecheck.classifier import Classifier
from platecheck.errors import PlatecheckError, SettingsError
from platecheck.serving.app import create_app, find_detector
from platecheck.serving.keys import read_keys
from platecheck.serving.observability import event, log_config
from platecheck.serving.settings import Settings, is_loopback, resolve

BACKLOG = 2048
HEADER_BYTES = 64 * 1024  # maximum of a request's line and headers
# Limit of the kernel's send buffer, which by default is megabytes and hides slow readers.
UNSENT = 64 * 1024
KEEPALIVE = 60  # seconds of silence after which the kernel asks whether the client is still there


def serve(settings: Settings, on_ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight; `on_ready` gets the URL.

    Raises:
        ModelError: The model cannot be used.
        SettingsError: The address, keys or certificate cannot be used.
    """
    # uvicorn raises the signal again after a graceful shutdown; exit with 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    keys = _keys(settings)
    if settings.certificate and settings.private_key:
        _check_certificate(settings.certificate, settings.private_key)
    find_detector(Classifier.load(settings.model, providers=settings.providers or None), settings)
    with (
        _listen(settings) as listening,
        tempfile.TemporaryDirectory(prefix="platecheck-metrics-") as folder,
        suppress(KeyboardInterrupt),
    ):
        scheme = "https" if settings.certificate else "http"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        on_ready(f"{scheme}://{host}:{listening.getsockname()[1]}")
        if settings.workers > 1:
            # Shared by the workers; read when the metrics are imported.
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            _Workers(_config(settings, keys), [listening]).run()
        else:
            uvicorn.Server(_config(settings, keys)).run([listening])


class _Workers(Multiprocess):
    """uvicorn's supervisor; closes the port on shutdown and detects dead workers immediately."""

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:
            process.child_conn.close()  # the worker's end of the pipe; kept open, it hides EOF
        super().keep_subprocess_alive()

    def terminate_all(self) -> None:
        for listening in self.sockets:
            listening.close()
        super().terminate_all()


def _app(settings: Settings, keys: Mapping[str, str] | None) -> FastAPI:
    try:
        return create_app(settings, keys)
    except PlatecheckError as error:
        if settings.workers == 1:
            raise
        # A replacement for a dead worker: exit and let the supervisor try again.
        event(logging.ERROR, "a worker cannot start", reason=str(error))
        sys.exit(1)


def _config(settings: Settings, keys: Mapping[str, str] | None) -> uvicorn.Config:
    return uvicorn.Config(
        partial(_app, settings, keys),
        factory=True,
        http="h11",  # httptools drops the body of requests with Upgrade, such as curl --http2
        h11_max_incomplete_event_size=HEADER_BYTES,
        ws="none",
        workers=settings.workers,
        backlog=BACKLOG,
        timeout_keep_alive=settings.idle_timeout,  # type: ignore[arg-type]  # floats work
        # Tells clients not to reuse a connection that is about to be closed.
        headers=[("Keep-Alive", f"timeout={int(settings.idle_timeout)}")],
        timeout_graceful_shutdown=int(settings.request_timeout) + 1,
        # A new worker needs time for its imports before it answers.
        timeout_worker_healthcheck=60,
        server_header=False,
        access_log=False,  # RequestContextMiddleware logs requests
        log_config=log_config(settings.log_level),
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.private_key,
    )


def _keys(settings: Settings) -> dict[str, str] | None:
    """Read the keys once, so that all workers, restarted ones too, use the same."""
    if settings.keys:
        keys = read_keys(settings.keys)
        if not keys:
            raise SettingsError(
                f"{settings.keys} is empty; create a key with platecheck apikey create"
            )
        return keys
    if not settings.no_auth and not is_loopback(settings.host):
        raise SettingsError(
            f"{settings.host} is a public address: require API keys with --keys FILE"
            " (see platecheck apikey create), or pass --no-auth"
        )
    return None


def _check_certificate(certificate: Path, private_key: Path) -> None:
    for kind, file in {"certificate": certificate, "private key": private_key}.items():
        try:
            file.open("rb").close()
        except (OSError, ValueError) as error:  # a name with a null byte
            reason = getattr(error, "strerror", None) or error
            raise SettingsError(f"the {kind} {file} cannot be read: {reason}") from error
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Any password: without one, OpenSSL would prompt for it.
        context.load_cert_chain(certificate, private_key, password="")
    except OSError as error:  # includes SSLError
        raise SettingsError(
            f"{certificate} and {private_key} are not a matching"
            f" certificate and unencrypted private key in PEM format: {error.strerror or error}"
        ) from error


def _listen(settings: Settings) -> socket.socket:
    family, *_, address = resolve(settings.host, settings.port)[0]
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
            # Close connections whose client has vanished or stops reading. Accepted sockets
            # inherit these options.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE)
            milliseconds = int(settings.idle_timeout * 1000)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}"
        ) from error
    listening.set_inheritable(True)
    return listening
