"""The process, or processes, that serve."""

import logging
import os
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from platecheck.classifier import Classifier
from platecheck.errors import PlatecheckError, SettingsError
from platecheck.serving.addresses import addresses, is_loopback
from platecheck.serving.keys import read_keys
from platecheck.serving.logs import config as log_config
from platecheck.serving.logs import event
from platecheck.serving.protocol import PatientProtocol
from platecheck.serving.settings import Settings

# Connections that the system accepts before a worker does.
BACKLOG = 2048
# Bytes that the system takes before they can be sent. It would take megabytes, and that someone
# reads them slowly would not show.
UNSENT = 64 * 1024


def serve(settings: Settings, on_ready: Callable[[str], None] = lambda url: None) -> None:
    """Serve until SIGTERM or SIGINT; what is under way then is finished.

    Args:
        settings: all of it.
        on_ready: called with the address once it is taken.

    Raises:
        ModelError: the model cannot be used.
        SettingsError: it cannot, or should not, listen as it is told to.
    """
    # uvicorn finishes what is under way, then says again what it was told: that is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    keys = _keys(settings)
    _check_certificate(settings)
    Classifier.load(settings.model, providers=settings.providers or None)
    listening = _listen(settings)
    try:
        on_ready(_url(settings, listening))
        with tempfile.TemporaryDirectory(prefix="platecheck-metrics-") as figures:
            if settings.workers > 1:
                # Where the workers' figures meet; read as their metrics module is imported.
                os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures
                _Workers(_config(settings, keys), [listening]).run()
            else:
                uvicorn.Server(_config(settings, keys)).run([listening])
    except KeyboardInterrupt:
        pass
    finally:
        listening.close()


class _Workers(Multiprocess):
    """uvicorn's processes; their parent closes the port with them, and sees at once who ends."""

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:
            process.child_conn.close()  # the worker's end: held here too, it would never end
        super().keep_subprocess_alive()

    def terminate_all(self) -> None:
        """Have them finish what is under way."""
        for listening in self.sockets:
            listening.close()
        super().terminate_all()


def _app(settings: Settings, keys: Mapping[str, str] | None) -> FastAPI:
    from platecheck.serving.app import create_app

    try:
        return create_app(settings, keys)
    except PlatecheckError as error:
        if settings.workers == 1:
            raise
        # A worker that was to take the place of one that died; the next one may find it mended.
        event(logging.ERROR, "a worker cannot start", reason=str(error))
        sys.exit(1)


def _config(settings: Settings, keys: Mapping[str, str] | None) -> uvicorn.Config:
    return uvicorn.Config(
        partial(_app, settings, keys),
        factory=True,
        http=PatientProtocol,
        ws="none",
        workers=settings.workers,
        backlog=BACKLOG,
        # Also how long a client may be silent elsewhere; any positive number will do.
        timeout_keep_alive=settings.idle_seconds,  # type: ignore[arg-type]
        # A client that knows it does not ask on a connection that is just being closed.
        headers=[("Keep-Alive", f"timeout={int(settings.idle_seconds)}")],
        timeout_graceful_shutdown=int(settings.seconds) + 1,
        # A worker that does not say within it that it lives is killed; to begin with it imports.
        timeout_worker_healthcheck=60,
        server_header=False,
        access_log=False,  # the application writes its own
        log_config=log_config(settings.log_level),
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.private_key,
    )


def _keys(settings: Settings) -> dict[str, str] | None:
    """The keys, read once: each worker takes the same ones, also one that is started later.

    Raises:
        SettingsError: there is none though others can ask, or their file cannot be used.
    """
    if settings.keys:
        keys = read_keys(settings.keys)
        if not keys:
            raise SettingsError(f"{settings.keys} holds no key; platecheck key makes one")
        return keys
    if not settings.without_key and not is_loopback(settings.host):
        raise SettingsError(
            f"{settings.host} can be reached by others: ask for a key (platecheck key, --keys FILE)"
            " or say --without-key"
        )
    return None


def _check_certificate(settings: Settings) -> None:
    if settings.certificate and settings.private_key:
        files = {"certificate": settings.certificate, "private key": settings.private_key}
        for what, file in files.items():
            try:
                file.open("rb").close()
            except (OSError, ValueError) as error:  # a name with a null byte
                reason = getattr(error, "strerror", None) or error
                raise SettingsError(f"the {what} {file} cannot be read: {reason}") from error
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # With a password, though it is not the right one, nobody is asked for it.
            context.load_cert_chain(settings.certificate, settings.private_key, password="")
        except OSError as error:  # of which SSLError is one
            raise SettingsError(
                f"{settings.certificate} and {settings.private_key} are not a certificate and its"
                f" unencrypted key, in PEM: {error.strerror or error}"
            ) from error


def _listen(settings: Settings) -> socket.socket:
    family, *_, address = addresses(settings.host, settings.port)[0]
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}"
        ) from error
    listening.listen(BACKLOG)
    listening.set_inheritable(True)
    return listening


def _url(settings: Settings, listening: socket.socket) -> str:
    scheme = "https" if settings.certificate else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{listening.getsockname()[1]}"
