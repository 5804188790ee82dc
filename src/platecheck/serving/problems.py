"""Error responses as problem details (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

PROBLEM_JSON = "application/problem+json"
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")


class ProblemDetails(BaseModel):
    """The body of an error (RFC 9457, section 3.1)."""

    type: str = Field(default="about:blank", description="URI of the problem type")
    title: str = Field(description="short summary of the problem type")
    status: int = Field(description="HTTP status code", ge=400, le=599)
    detail: str | None = Field(default=None, description="what went wrong and what to do")
    request_id: str | None = Field(default=None, description="id of the request, as in the logs")


class ProblemError(HTTPException):
    """An error to return as problem details."""


def problem_details(
    status: int, detail: str | None, request_id: str | None = None
) -> ProblemDetails:
    """Build the body of an error response; the title is the status phrase."""
    return ProblemDetails(
        title=HTTPStatus(status).phrase, status=status, detail=detail, request_id=request_id
    )


def problem_response(
    status: int,
    detail: str | None,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build an error response."""
    body = problem_details(status, detail, request_id).model_dump_json(exclude_none=True)
    return Response(body, status, dict(headers or {}), media_type=PROBLEM_JSON)


def add_error_handlers(app: FastAPI) -> None:
    """Make an application return all errors as problem details."""
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if "Allow" in headers:  # Starlette lists the methods of the first matching route only
        headers["Allow"] = ", ".join(method for method in _METHODS if _allows(request, method))
    return problem_response(error.status_code, error.detail, request.state.request_id, headers)


def _allows(request: Request, method: str) -> bool:
    """Return whether a route matches the request's path with another method."""
    scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return problem_response(422, f"{where}: {first['msg']}", request.state.request_id)
