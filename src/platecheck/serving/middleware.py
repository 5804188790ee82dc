"""Middleware: request ids, logs and metrics; timeouts; CSRF and DNS-rebinding protection."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from platecheck.serving.keys import PREFIX
from platecheck.serving.observability import REJECTED, REQUESTS, SECONDS, event
from platecheck.serving.problems import problem_response

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",  # WebAssembly, for inference in the browser
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
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
# Send bodies in chunks of this size, so that slow readers still make progress.
CHUNK = 64 * 1024
_REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)


@dataclass(frozen=True)
class RequestContextMiddleware:
    """Outermost middleware: request id, security headers, metrics and log."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        method, status = scope["method"], 0
        request_id = Headers(scope=scope).get("x-request-id", "")
        if not _REQUEST_ID.fullmatch(request_id) or request_id.startswith(PREFIX):  # a key?
            request_id = uuid.uuid4().hex
        # HEAD is answered like GET; the server omits the body. Ranges are not supported: Starlette
        # would answer invalid ones in plain text.
        headers = [pair for pair in scope["headers"] if pair[0] != b"range"]
        scope = {**scope, "method": "GET" if method == "HEAD" else method, "headers": headers}
        scope.setdefault("state", {}).update(request_id=request_id, log={})

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            body = message.get("body", b"")
            while len(body) > CHUNK:
                await send({**message, "body": body[:CHUNK], "more_body": True})
                body = body[CHUNK:]
                message = {**message, "body": body}
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - start
            # The route (static files: the mount path): raw paths have unbounded cardinality.
            route = scope.get("route")
            path = str(route.path if route else scope["root_path"] or "unknown")
            REQUESTS.labels(method, path, str(status or "none")).inc()
            SECONDS.labels(path).observe(seconds)
            event(
                logging.INFO,
                "request",
                request_id=request_id,
                method=method,
                path=path,
                status=status or None,  # none: the client disconnected
                milliseconds=round(seconds * 1000, 1),
                client=_client(scope),
                **scope["state"]["log"],
            )


@dataclass(frozen=True)
class TimeoutMiddleware:
    """Limit the time until a response starts, and turn failures into problem details.

    The server's sockets limit how long a client may stop reading the response.
    """

    app: ASGIApp
    request_timeout: float  # seconds until the response must start, upload included
    idle_timeout: float | None = None  # seconds that an upload may pause

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = scope["state"]["request_id"]
        uploaded, started = False, False

        async def receive_in_time() -> Message:
            nonlocal uploaded
            async with asyncio.timeout(None if uploaded else self.idle_timeout):
                message = await receive()
            uploaded = uploaded or not message.get("more_body", False)
            return message

        async def send_in_time(message: Message) -> None:
            nonlocal started
            started = True
            limit.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self.request_timeout) as limit:
                await self.app(scope, receive_in_time, send_in_time)
            return
        except TimeoutError:
            REJECTED.labels("late").inc()
            if uploaded:
                retry = {"Retry-After": "1"}
                response = problem_response(503, "the request timed out", request_id, retry)
            else:
                close = {"Connection": "close"}
                response = problem_response(408, "the upload timed out", request_id, close)
        except ClientDisconnect:
            return
        except Exception:
            event(logging.ERROR, "failed", exc_info=True, request_id=request_id)
            if started:
                raise
            detail = "internal error; see the log of the service"
            response = problem_response(500, detail, request_id)
        await response(scope, receive, send)


@dataclass(frozen=True)
class HostOriginMiddleware:
    """Reject requests with an unknown Host or a cross-site Origin.

    A browser can reach services that are not meant to be public. Checking the Origin header stops
    requests from other sites, checking the Host header a domain that is rebound to 127.0.0.1.
    """

    app: ASGIApp
    hosts: Collection[str] | None  # None allows any
    origins: Collection[str]  # besides the service's own, such as https://app.example

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            rejection = self._check(Headers(scope=scope))
            if rejection:
                response = problem_response(*rejection, scope["state"]["request_id"])
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _check(self, headers: Headers) -> tuple[int, str] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.hosts is not None:
            try:
                name = urlsplit(f"//{host}").hostname
            except ValueError:
                name = None
            if not name:
                return 421, "the Host header is missing or invalid"
            if name not in self.hosts:
                detail = f"the host name {name} is not allowed; add it to PLATECHECK_ALLOWED_HOSTS"
                return 421, detail
        if origin and origin not in self.origins and origin.partition("://")[2] != host:
            return 403, "the origin is not allowed; add it to PLATECHECK_CORS_ORIGINS"
        return None


class CrossOrigin(CORSMiddleware):
    """Starlette's CORS middleware, with rejections as problem details."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight request."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        del response.headers["content-length"], response.headers["content-type"]
        detail = bytes(response.body).decode()
        return problem_response(response.status_code, detail, headers=response.headers)


def _client(scope: Scope) -> str | None:
    """Return the client's IP address; None if a proxy forwarded an invalid one."""
    host, _ = scope.get("client") or ("", 0)
    try:
        return str(ip_address(host.partition("%")[0]))  # what follows % is a name
    except ValueError:
        return None
