"""Protection against cross-site request forgery and DNS rebinding.

A browser on this machine or network can reach services that are not meant to be public, so check
the Origin header (requests from another site) and the Host header (a domain rebound to 127.0.0.1).
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from platecheck.serving.problems import problem_response

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class HostOriginMiddleware:
    """ASGI middleware that rejects requests with a wrong Host or a foreign Origin.

    Args:
        app: the wrapped application.
        hosts: allowed host names; None allows any.
        origins: allowed origins besides the service's own, such as ``https://app.example``.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Collection[str] | None, origins: Collection[str]
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            rejection = self._check(Headers(scope=scope))
            if rejection:
                response = problem_response(*rejection, scope["state"]["request_id"])
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> tuple[int, str] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        name = _host_name(host)
        if self._hosts is not None and name not in self._hosts:
            if not name:
                return 421, "the Host header is missing or invalid"
            allow = f"platecheck serve --allowed-host {name} would allow it"
            return 421, f"the host name is not allowed; {allow}"
        if origin and origin not in self._origins and origin.partition("://")[2] != host:
            return 403, "the origin is not allowed; platecheck serve --cors-origin allows it"
        return None


class CrossOrigin(CORSMiddleware):
    """Starlette's CORS middleware, with rejections as problem details."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight request."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        headers = {
            name: value
            for name, value in response.headers.items()
            if name not in {"content-length", "content-type"}
        }
        detail = bytes(response.body).decode()
        return problem_response(response.status_code, detail, headers=headers)


def _host_name(host: str) -> str:
    """Return the host name of a Host header without port or brackets, or ""."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
