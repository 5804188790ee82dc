"""The ASGI application."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

import platecheck
from platecheck.classifier import Classifier, find_model
from platecheck.detector import Detector
from platecheck.model_file import BUNDLED_DETECTORS, read_model
from platecheck.model_info import CLEAN, class_key
from platecheck.serving import feedback_routes, routes
from platecheck.serving.feedback_service import FeedbackService, open_feedback
from platecheck.serving.keys import read_keys
from platecheck.serving.middleware import (
    LOCAL_NAMES,
    CrossOrigin,
    HostOriginMiddleware,
    RequestContextMiddleware,
    TimeoutMiddleware,
)
from platecheck.serving.observability import event
from platecheck.serving.problems import add_error_handlers
from platecheck.serving.service import Service
from platecheck.serving.settings import Settings, is_loopback
from platecheck.serving.static import mount_docs, mount_page

INTRODUCTION = (
    "Send photos of one dish to `POST /v1/predict`, of any number of dishes to `POST /v1/inspect`."
    " If the service requires API keys, authenticate with `Authorization: Bearer KEY`. Errors are"
    " `application/problem+json` (RFC 9457). After a 503 response, wait for the number of seconds"
    " in `Retry-After` before you retry."
)
TAGS = {
    "predict": "Classify photos, or every dish in them",
    "model": "Model metadata and limits",
    "feedback": "Report wrong predictions, if the service accepts feedback",
    "health": "Probes and metrics",
}


def create_app(settings: Settings, keys: Mapping[str, str] | None = None) -> FastAPI:
    """Create the ASGI application; `keys` are read from `settings.keys` by default.

    Raises:
        ModelError: The model cannot be used.
        SettingsError: The key file or the feedback settings cannot be used.
        StorageError: The feedback database cannot be reached.
    """
    path = find_model(settings.model)
    classifier = Classifier.load(path, providers=settings.providers or None)
    if keys is None and settings.keys:
        keys = read_keys(settings.keys)
    app = FastAPI(
        title="platecheck",
        summary="Classify photos of dishes as clean or dirty.",
        description=INTRODUCTION,
        openapi_tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        version=platecheck.__version__,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.keys = keys
    app.state.model_file = path.read_bytes()
    detector = find_detector(classifier, settings)
    app.state.detector_file = b""
    if detector:
        app.state.detector_file, *_ = read_model(settings.detector, BUNDLED_DETECTORS)
    app.state.service = Service(classifier, settings, detector)
    store = open_feedback(settings)
    app.state.feedback = FeedbackService(store, settings.feedback_days) if store else None
    auth = [] if keys is None else [Depends(routes.authenticate)]
    auth_errors = {} if keys is None else {401: "The API key is missing or wrong"}
    for router in (routes.router, feedback_routes.router):
        app.include_router(router, dependencies=auth, responses=routes.errors(auth_errors))
    app.include_router(routes.probes)
    mount_page(app, classifier.fingerprint + (detector.fingerprint if detector else ""))
    mount_docs(app)
    add_error_handlers(app)
    _add_middleware(app, settings)
    paths = app.openapi()["paths"]  # cached by FastAPI
    for path_of_photos in ("/v1/predict", "/v1/inspect"):
        paths[path_of_photos]["post"]["requestBody"] = routes.predict_body(settings)
    paths["/v1/feedback"]["post"]["requestBody"] = feedback_routes.form_body(classifier.classes)
    return app


def find_detector(classifier: Classifier, settings: Settings) -> Detector | None:
    """Load the detector; None if it is not set and the default one does not suit the model."""
    is_suitable = CLEAN in map(class_key, classifier.classes)
    if not settings.detector and not (is_suitable and find_model(None, BUNDLED_DETECTORS).exists()):
        return None
    return Detector.load(settings.detector, providers=settings.providers or None)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    feedback: FeedbackService | None = app.state.feedback
    service.start()
    if feedback:
        feedback.start()
    event(logging.INFO, "started", model=service.classifier.id)
    yield
    await asyncio.to_thread(service.stop)
    if feedback:
        await feedback.stop()
    event(logging.INFO, "stopped", model=service.classifier.id)


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    hosts = None
    if is_loopback(settings.host):
        hosts = {name.lower() for name in (settings.host, *LOCAL_NAMES, *settings.allowed_hosts)}
    app.add_middleware(HostOriginMiddleware, hosts=hosts, origins=settings.cors_origins)
    app.add_middleware(
        TimeoutMiddleware,
        request_timeout=settings.request_timeout,
        idle_timeout=settings.idle_timeout,
    )
    if settings.cors_origins:
        app.add_middleware(
            CrossOrigin,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    app.add_middleware(RequestContextMiddleware)
