"""Keep web pages elsewhere from using a visitor's browser to ask this service.

A browser on this machine, or in this network, can reach what its owner did not mean to publish.
Two ways are closed: a page of another origin that posts here (cross-site request forgery), and a
name of the attacker's that suddenly means 127.0.0.1 (DNS rebinding).
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
    """ASGI middleware that refuses requests that came by a wrong name, or from another origin.

    `names` are host names, None: any; `origins` web pages elsewhere, as ``https://app.example``.
    """

    def __init__(
        self, app: ASGIApp, *, names: Collection[str] | None, origins: Collection[str]
    ) -> None:
        self._app = app
        self._names = names
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refused = self._refused(Headers(scope=scope))
            if refused:
                answer = problem_response(*refused, scope["state"]["request_id"])
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refused(self, headers: Headers) -> tuple[int, str] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        name = _name(host)
        if self._names is not None and name not in self._names:
            if not name:
                return 421, "the request does not say by which name it asks (Host)"
            let = f"platecheck serve --name {name} would let it"
            return 421, f"the service does not go by this name; {let}"
        if origin and origin not in self._origins and origin.partition("://")[2] != host:
            return 403, "a web page elsewhere may not ask; platecheck serve --origin lets it"
        return None


class CrossOrigin(CORSMiddleware):
    """Starlette's CORS, whose refusals are problem details as all others are."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Say whether a web page may ask what it is about to ask."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        kept = {
            name: value
            for name, value in response.headers.items()
            if name not in {"content-length", "content-type"}
        }
        detail = bytes(response.body).decode()
        return problem_response(response.status_code, detail, headers=kept)


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets; "" where there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
