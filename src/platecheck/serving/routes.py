"""The paths for machines."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from platecheck.serving import metrics
from platecheck.serving.keys import find_key
from platecheck.serving.pool import Answered, PoolClosedError, QueueFullError
from platecheck.serving.problems import PROBLEM_JSON, ProblemError, problem_details
from platecheck.serving.schemas import ModelAnswer, PhotoAnswer, PredictAnswer, Status
from platecheck.serving.service import Service
from platecheck.serving.settings import Settings
from platecheck.serving.static import NO_CACHE
from platecheck.serving.uploads import FIELD, OTHER_FIELDS, is_form, read_photos, unreadable

FILE = {"type": "string", "format": "binary"}
# Media types of a raw body; programs that write clients know no "image/*".
RAW = ("image/*", "image/jpeg", "application/octet-stream")


def _body(settings: Settings) -> dict[str, Any]:
    """The body of a request to answer photos; FastAPI would read it by itself, without limits."""
    photos = {"type": "array", "items": FILE, "minItems": 1, "maxItems": settings.max_photos}
    return {
        "description": "One photo as the body, or up to as many as the limits allow as files of a"
        " form: JPEG, PNG, HEIC, WebP, AVIF, TIFF and others. The content decides, not the name.",
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form({FIELD: photos}, required=[FIELD])},
            **{kind: {"schema": FILE} for kind in RAW},
        },
    }


def form(fields: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """The schema of a form with these fields, and some that are not read."""
    return {
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": {"type": "string"},
        "maxProperties": len(fields) + OTHER_FIELDS,
    }


def errors(by_status: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """Problem details by status, for OpenAPI."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    retry = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}}
    return {
        status: {
            "description": what,
            **({"headers": retry} if status == 503 else {}),
            "content": {
                PROBLEM_JSON: {
                    "schema": schema,
                    "example": problem_details(status, what, "5f0c9c0e7d1b4d6f").model_dump(),
                }
            },
        }
        for status, what in {**by_status, **_NOT_ALLOWED}.items()
    }


_NOT_ALLOWED = {
    403: "A web page elsewhere asks (--origin lets it)",
    421: "The service does not go by the name in Host (--name lets it)",
}
_PREDICT_ERRORS = {
    400: "The body is not what its content type says",
    408: "The body did not come in time",
    413: "More photos, or more bytes, than the limits allow",
    415: "The body is compressed, base64, JSON or another text, or a form of another type",
    422: "No photo in the request, a raw body that cannot be opened, or a parameter that makes no"
    " sense. A form whose photos cannot be opened is answered 200, with `error` for each",
    503: "Too much to do: ask again after Retry-After seconds",
}


def api(service: Service, keys: Mapping[str, str] | None, model_file: bytes) -> APIRouter:
    """Routes that answer for a service.

    Args:
        service: what answers.
        keys: hashes of API keys by name; None: no key is asked for.
        model_file: content of the file that answers.
    """
    router = APIRouter()
    guarded, no_key = guard(keys)
    described = ModelAnswer.of(service.classifier, service.settings)

    @router.post(
        "/v1/predict",
        operation_id="predict",
        summary="Predict",
        dependencies=guarded,
        response_model=PredictAnswer,
        response_model_exclude_none=True,
        responses=errors({**_PREDICT_ERRORS, **no_key}),
        openapi_extra={"requestBody": _body(service.settings)},
        tags=["predict"],
    )
    async def predict(
        request: Request,
        evidence: Annotated[
            bool, Query(description="Also return a map of where the dirt is.")
        ] = False,
    ) -> Response:
        """Classify each photo as clean or dirty; `unsure` and `not a dish` are answers too.

        `photos` of the answer has an entry for each photo, in the order in which they were sent. A
        photo of a form that cannot be opened has an `error` instead of a label, and the others are
        answered; a body that cannot be opened is answered with 422.
        """
        check_room(service)
        with service.uploads.share() as share:
            photos = await read_photos(request.stream(), request.headers, service.settings, share)
            start = time.perf_counter()
            answers = await answered(request, service, photos, evidence=evidence)
        found = [PhotoAnswer.of(name, a) for (name, _), a in zip(photos, answers, strict=True)]
        request.state.log.update(photos=len(photos), bytes=sum(len(file) for _, file in photos))
        if not is_form(request.headers) and found[0].error:
            raise unreadable(request.headers, photos[0][1], found[0].error.detail or "")
        answer = PredictAnswer(
            model=service.classifier.id,
            milliseconds=round((time.perf_counter() - start) * 1000, 2),
            photos=found,
        )
        # Already checked by its making: FastAPI need not check it again.
        return Response(answer.model_dump_json(exclude_none=True), media_type="application/json")

    @router.get(
        "/v1/model",
        operation_id="getModel",
        summary="Describe the model and the limits",
        dependencies=guarded,
        responses=errors(no_key),
        tags=["model"],
    )
    async def model() -> ModelAnswer:
        """Return what the model file holds (classes, thresholds, metrics), and the limits."""
        return described

    @router.get(
        "/v1/model/file",
        operation_id="downloadModel",
        summary="Download the model",
        dependencies=guarded,
        response_class=Response,
        responses={
            200: {"content": {"application/octet-stream": {"schema": FILE}}},
            **errors({**no_key, 404: "This service keeps its model to itself"}),
        },
        tags=["model"],
    )
    async def file(request: Request) -> Response:
        """Return the ONNX file, for devices that predict on their own; `ETag` is its version."""
        if not service.settings.offline:
            raise ProblemError(404, "this service keeps its model to itself")
        tagged = {**NO_CACHE, "ETag": f'"{service.classifier.fingerprint}"'}
        if request.headers.get("if-none-match") == tagged["ETag"]:
            return Response(status_code=304, headers=tagged)
        return Response(model_file, media_type="application/octet-stream", headers=tagged)

    @router.get("/healthz", operation_id="health", summary="Liveness", tags=["health"])
    async def health() -> Status:
        """Return 200 while the process answers at all."""
        return Status()

    @router.get(
        "/readyz",
        operation_id="ready",
        summary="Readiness",
        responses=errors({503: "It stops; few see this, as its port is closed by then"}),
        tags=["health"],
    )
    async def ready() -> Status:
        """Return 200 while photos are accepted."""
        if service.stopping:
            raise _no_room(PoolClosedError())
        return Status()

    @router.get(
        "/metrics",
        operation_id="metrics",
        summary="Metrics",
        dependencies=guarded,
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **errors(no_key),
        },
        tags=["health"],
    )
    def figures() -> Response:  # reads files where there are several workers: on a thread
        """Return metrics in the Prometheus text format."""
        return Response(metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router


def guard(keys: Mapping[str, str] | None) -> tuple[list[Any], dict[int, str]]:
    """Dependencies that let requests with a known key through, and their errors; None: anyone."""
    if keys is None:
        return [], {}
    bearer = HTTPBearer(auto_error=False, description="A key of `platecheck key`.")

    async def check(  # not async, it would cost each request a trip to a thread
        request: Request,
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ) -> None:
        name = find_key(given.credentials, keys) if given else None
        if name is None:
            metrics.REJECTED.labels("key").inc()
            what = "wrong" if given else "missing"
            raise ProblemError(
                401,
                f"the API key is {what}: send it as 'Authorization: Bearer KEY'",
                headers={"WWW-Authenticate": "Bearer"},
            )
        request.state.log["key"] = name

    return [Depends(check)], {401: "The API key is missing or wrong"}


def check_room(service: Service) -> None:
    """Refuse before the body is read where there is no room anyway."""
    try:
        service.engine.check()
    except (QueueFullError, PoolClosedError) as error:
        raise _no_room(error) from None


async def answered(
    request: Request, service: Service, photos: Sequence[tuple[str, bytes]], **options: bool
) -> list[Answered]:
    """Answers for photos, in their order.

    Args:
        request: forgotten once its client is gone.
        service: what answers.
        photos: name and file of each.
        options: of :meth:`~platecheck.serving.pool.Engine.submit`.

    Raises:
        ProblemError: there is no room for them.
        ClientDisconnect: the client went away; what was not begun will not be.
    """
    try:
        futures = service.engine.submit(photos, **options)
    except (QueueFullError, PoolClosedError) as error:
        raise _no_room(error) from None

    def forget(_: object = None) -> None:
        for future in futures:
            future.cancel()

    async def until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.ensure_future(until_gone())
    gone.add_done_callback(forget)
    try:
        answers = [await asyncio.wrap_future(future) for future in futures]
    except asyncio.CancelledError:
        if not gone.done():  # but out of time
            raise
    finally:
        forget()
        gone.cancel()
    if gone.done():
        raise ClientDisconnect
    return answers


def _no_room(error: QueueFullError | PoolClosedError) -> ProblemError:
    if isinstance(error, QueueFullError):
        metrics.REJECTED.labels("queue").inc()
        # To the nearest second, as it is rather overestimated: who comes later finds it idle.
        wait, detail = round(error.seconds), "too many photos are waiting; ask again a little later"
    else:
        wait, detail = 1, "the service is stopping"
    return ProblemError(503, detail, headers={"Retry-After": str(max(1, wait))})
