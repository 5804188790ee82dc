"""Around every request: an id, security headers, figures, a line in the log."""

import logging
import re
import time
import uuid
from collections.abc import Iterator
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from platecheck.serving import metrics
from platecheck.serving.keys import PREFIX
from platecheck.serving.logs import event

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",  # the latter runs the model on the phone
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Bytes of an answer that are sent at once. Who reads slowly is seen to read as one of them goes.
PART = 64 * 1024
_REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)


class RequestContextMiddleware:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        # The answer to HEAD is that to GET, and the server leaves out its body.
        method = scope["method"]
        scope = {**scope, "method": "GET" if method == "HEAD" else method}
        # Nothing here is so large that a part of it is wanted, and Starlette answers ranges that
        # make no sense with plain text.
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"range"]
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _request_id(scope)
        state["log"] = {}
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            for part in _parts(message):
                await send(part)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - start
            path = _route(scope)
            metrics.REQUESTS.labels(method, path, str(status or "none")).inc()
            metrics.SECONDS.labels(path).observe(seconds)
            event(
                logging.INFO,
                "request",
                request_id=request_id,
                method=method,
                path=path,
                status=status or None,  # none: the client went away
                milliseconds=round(seconds * 1000, 1),
                client=_client(scope),
                **state["log"],
            )


def _parts(message: Message) -> Iterator[Message]:
    """The same in messages of which none has a large body."""
    body = message.get("body", b"")
    if len(body) <= PART:
        yield message
        return
    for start in range(0, len(body), PART):
        more = message.get("more_body", False) or start + PART < len(body)
        yield {**message, "body": body[start : start + PART], "more_body": more}


def _route(scope: Scope) -> str:
    """The route that answered, not the path: there are as many paths as someone can think of."""
    route = scope.get("route")
    # Of static files there is only the folder's path.
    return str(route.path if route else scope["root_path"] or "unknown")


def _client(scope: Scope) -> str | None:
    """The client's address: a proxy on this machine may pass on whatever it was told."""
    host, _ = scope.get("client") or ("", 0)
    try:
        return str(ip_address(host.partition("%")[0]))  # what follows % is a name
    except ValueError:
        return None


def _request_id(scope: Scope) -> str:
    """The caller's id of the request, if it is a decent one and not a key; else a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    if _REQUEST_ID.fullmatch(given) and not given.startswith(PREFIX):
        return given
    return uuid.uuid4().hex
