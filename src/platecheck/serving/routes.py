"""Routes of the API."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from platecheck.serving import observability
from platecheck.serving.keys import find_key
from platecheck.serving.problems import (
    PROBLEM_JSON,
    ProblemDetails,
    ProblemError,
    problem_details,
)
from platecheck.serving.schemas import (
    InspectResponse,
    ModelMetadata,
    PhotoInspection,
    PhotoPrediction,
    PredictResponse,
    Status,
)
from platecheck.serving.service import Service
from platecheck.serving.settings import Settings
from platecheck.serving.static import NO_CACHE
from platecheck.serving.uploads import FIELD, OTHER_FIELDS, is_form, read_photos, unreadable

FILE = {"type": "string", "format": "binary"}
# Media types of a raw body; client generators do not support "image/*".
RAW = ("image/*", "image/jpeg", "application/octet-stream")
RETRY_AFTER = {
    "Retry-After": {"description": "seconds to wait before retrying", "schema": {"type": "integer"}}
}
NOT_ALLOWED = {
    403: "Origin not allowed (see PLATECHECK_CORS_ORIGINS)",
    421: "Host not allowed (see PLATECHECK_ALLOWED_HOSTS)",
}
_PREDICT_ERRORS = {
    400: "The body does not match its Content-Type",
    408: "The upload timed out",
    413: "Too many photos or bytes",
    415: "Unsupported body: compressed, base64, JSON or other text, or a mislabelled form",
    422: "No photo, an unreadable raw body, or an invalid parameter. Unreadable photos of a form"
    " are reported as `error` in a 200 response",
    503: "Overloaded: retry after Retry-After seconds",
}


def predict_body(settings: Settings) -> dict[str, Any]:
    """Describe the request body for OpenAPI only: FastAPI would read it without limits."""
    photos = {"type": "array", "items": FILE, "minItems": 1, "maxItems": settings.max_photos}
    return {
        "description": "One photo as the raw body, or photos as files of a form: JPEG, PNG, HEIC,"
        " WebP, AVIF, TIFF and others. The format is detected from the content, not the name.",
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form({FIELD: photos}, required=[FIELD])},
            **{kind: {"schema": FILE} for kind in RAW},
        },
    }


def form(fields: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """Return the schema of a form with these fields; other text fields are ignored."""
    return {
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": {"type": "string"},
        "maxProperties": len(fields) + OTHER_FIELDS,
    }


def errors(by_status: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """Describe error responses for OpenAPI, by status."""
    described: dict[int | str, dict[str, Any]] = {}
    for status, description in {**by_status, **NOT_ALLOWED}.items():
        example = problem_details(status, description, "5f0c9c0e7d1b4d6f").model_dump()
        content = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}, "example": example}
        described[status] = {"description": description, "content": {PROBLEM_JSON: content}}
        if status == 503:
            described[status]["headers"] = RETRY_AFTER
    return described


BEARER = HTTPBearer(auto_error=False, description="API key, created by `platecheck apikey create`.")


async def authenticate(  # async, to avoid FastAPI's thread pool
    request: Request,
    given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
) -> None:
    """Require a known API key, and log its name."""
    name = find_key(given.credentials, request.app.state.keys) if given else None
    if name is None:
        observability.REJECTED.labels("key").inc()
        reason = "wrong" if given else "missing"
        raise ProblemError(
            401,
            f"the API key is {reason}: send it as 'Authorization: Bearer KEY'",
            headers={"WWW-Authenticate": "Bearer"},
        )
    request.state.log["key"] = name


router = APIRouter()
probes = APIRouter(tags=["health"])  # without authentication


@router.post(
    "/v1/predict",
    operation_id="predict",
    response_model=PredictResponse,
    response_model_exclude_none=True,
    responses=errors(_PREDICT_ERRORS),
    tags=["predict"],
)
async def predict(
    request: Request,
    evidence: Annotated[bool, Query(description="Also return a heatmap of the dirt.")] = False,
) -> Response:
    """Classify photos as clean or dirty; labels also include `unsure` and `not a dish`.

    `photos` has one entry per photo, in the order sent. An unreadable photo of a form has an
    `error` instead of a label; an unreadable raw body is a 422 error.
    """
    service: Service = request.app.state.service
    upload = await judge(request, heatmap=evidence)
    predictions = [PhotoPrediction.of(*each) for each in upload.results]
    upload.check_body(predictions[0].error)
    response = PredictResponse(
        model=service.classifier.id, milliseconds=upload.milliseconds, photos=predictions
    )
    # Bypass FastAPI, which would validate it a second time.
    return Response(response.model_dump_json(exclude_none=True), media_type="application/json")


@router.post(
    "/v1/inspect",
    operation_id="inspect",
    response_model=InspectResponse,
    response_model_exclude_none=True,
    responses=errors({**_PREDICT_ERRORS, 404: "The service has no detector"}),
    tags=["predict"],
)
async def inspect(
    request: Request,
    heatmap: Annotated[
        bool, Query(description="Also return a heatmap of the dirt for each dish.")
    ] = False,
) -> Response:
    """Find every dish in photos and classify each as clean, dirty or `unsure`.

    `photos` has one entry per photo, in the order sent. An unreadable photo of a form has an
    `error` instead of dishes; an unreadable raw body is a 422 error.
    """
    service: Service = request.app.state.service
    if not service.inspector:
        raise ProblemError(404, "the service has no detector, or its model has no class 'clean'")
    upload = await judge(request, heatmap=heatmap, inspect=True)
    inspections = [PhotoInspection.of(*each) for each in upload.results]
    upload.check_body(inspections[0].error)
    response = InspectResponse(
        model=service.classifier.id,
        detector=service.inspector.detector.id,
        milliseconds=upload.milliseconds,
        photos=inspections,
    )
    return Response(response.model_dump_json(exclude_none=True), media_type="application/json")


@dataclass(frozen=True)
class Judged:
    """The photos of a request, each with its result."""

    headers: Mapping[str, str]
    body: bytes  # of the first photo
    results: list[tuple[str, Any]]
    milliseconds: float

    def check_body(self, error: ProblemDetails | None) -> None:
        """Raise the error of the first photo if it is the whole body."""
        if error and not is_form(self.headers):
            raise unreadable(self.headers, self.body, error.detail or "")


async def judge(request: Request, **options: bool) -> Judged:
    """Read the photos of a request and classify or inspect them; options of `Service.submit`."""
    service: Service = request.app.state.service
    service.check_capacity()  # before the body is read
    with service.uploads.reserve() as memory:
        photos = await read_photos(request.stream(), request.headers, service.settings, memory)
        start = time.perf_counter()
        results = await classify(request, photos, **options)
    request.state.log.update(photos=len(photos), bytes=sum(len(file) for _, file in photos))
    names = [name for name, _ in photos]
    milliseconds = round((time.perf_counter() - start) * 1000, 2)
    return Judged(
        request.headers, photos[0][1], list(zip(names, results, strict=True)), milliseconds
    )


@router.get("/v1/model", operation_id="getModel", summary="Get model metadata", tags=["model"])
async def model(request: Request) -> ModelMetadata:
    """Return classes, thresholds and metrics of the model, and the limits of the service."""
    service: Service = request.app.state.service
    detector = service.inspector.detector if service.inspector else None
    return ModelMetadata.of(service.classifier, detector, service.settings)


_FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": FILE}}},
    **errors({404: "Model download is disabled (PLATECHECK_OFFLINE)"}),
}


@router.get(
    "/v1/model/file",
    operation_id="downloadModel",
    summary="Download model",
    response_class=Response,
    responses=_FILE_RESPONSES,
    tags=["model"],
)
async def file(request: Request) -> Response:
    """Return the ONNX file, for inference on the device; `ETag` identifies its version."""
    state = request.app.state
    return _model_file(request, state.model_file, state.service.classifier.fingerprint)


@router.get(
    "/v1/model/dishes",
    operation_id="downloadDetector",
    summary="Download detector",
    response_class=Response,
    responses=_FILE_RESPONSES,
    tags=["model"],
)
async def detector_file(request: Request) -> Response:
    """Return the ONNX file of the detector, which finds the dishes; empty if there is none."""
    state = request.app.state
    inspector = state.service.inspector
    fingerprint = inspector.detector.fingerprint if inspector else "none"
    return _model_file(request, state.detector_file, fingerprint)


def _model_file(request: Request, content: bytes, fingerprint: str) -> Response:
    service: Service = request.app.state.service
    if not service.settings.offline:
        raise ProblemError(404, "model download is disabled")
    headers = {**NO_CACHE, "ETag": f'"{fingerprint}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/octet-stream", headers=headers)


@probes.get("/healthz", operation_id="health", summary="Liveness probe")
async def health() -> Status:
    """Return 200 while the process is alive."""
    return Status()


@probes.get(
    "/readyz",
    operation_id="ready",
    summary="Readiness probe",
    responses=errors({503: "Shutting down (rarely seen: the port is closed first)"}),
)
async def ready(request: Request) -> Status:
    """Return 200 while the service accepts photos."""
    if request.app.state.service.stopping:
        raise ProblemError(503, "the service is stopping", {"Retry-After": "1"})
    return Status()


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Get metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    tags=["health"],
)
def get_metrics() -> Response:  # not async: reads files if there are several workers
    """Return metrics in the Prometheus text format."""
    return Response(observability.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def classify(
    request: Request, photos: Sequence[tuple[str, bytes]], **options: bool
) -> list[Any]:
    """Classify photos, cancelling those not yet started if the client disconnects.

    Other arguments as for `Service.submit`, which may raise a 503 `ProblemError`.

    Raises:
        ClientDisconnect: The client disconnected.
    """
    futures: list[Future[Any]] = request.app.state.service.submit(photos, **options)

    def cancel(_: object = None) -> None:
        for future in futures:
            future.cancel()

    async def until_disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    disconnected = asyncio.ensure_future(until_disconnect())
    disconnected.add_done_callback(cancel)
    try:
        results = [await asyncio.wrap_future(future) for future in futures]
    except asyncio.CancelledError:
        if not disconnected.done():  # the request timed out
            raise
    finally:
        cancel()
        disconnected.cancel()
    if disconnected.done():
        raise ClientDisconnect
    return results
