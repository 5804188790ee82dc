"""The ASGI application."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.responses import Response

import platecheck
from platecheck.classifier import Classifier, find_model
from platecheck.serving.addresses import is_loopback
from platecheck.serving.api_docs import mount_docs
from platecheck.serving.feedback_routes import feedback_api
from platecheck.serving.feedback_service import FeedbackService, open_feedback
from platecheck.serving.host_origin import LOCAL_NAMES, CrossOrigin, HostOriginMiddleware
from platecheck.serving.keys import read_keys
from platecheck.serving.logs import event
from platecheck.serving.middleware import RequestContextMiddleware
from platecheck.serving.problems import add_error_handlers
from platecheck.serving.routes import api
from platecheck.serving.service import Service
from platecheck.serving.settings import Settings
from platecheck.serving.static import NO_CACHE, PageFiles, service_worker
from platecheck.serving.timeout import TimeoutMiddleware

DESCRIPTION = "Classify photos of dishes as clean or dirty."

INTRODUCTION = (
    "Send photos to `POST /v1/predict`. If the service requires API keys, authenticate with"
    " `Authorization: Bearer KEY`. Errors are `application/problem+json` (RFC 9457). After a 503"
    " response, wait for the number of seconds in `Retry-After` before you retry."
)
TAGS = {
    "predict": "Classify photos",
    "model": "Model metadata and limits",
    "feedback": "Report wrong predictions, if the service accepts feedback",
    "health": "Probes and metrics",
}


def create_app(settings: Settings, keys: Mapping[str, str] | None = None) -> FastAPI:
    """Create the ASGI application.

    Args:
        settings: the configuration.
        keys: hashes of API keys by name; read from `settings.keys` by default.

    Raises:
        ModelError: The model cannot be used.
        SettingsError: The key file or the feedback settings cannot be used.
        StorageError: The feedback database cannot be reached.
    """
    path = find_model(settings.model)
    classifier = Classifier.load(path, providers=settings.providers or None)
    content = path.read_bytes()
    if keys is None and settings.keys:
        keys = read_keys(settings.keys)
    service = Service(classifier, settings)
    store = open_feedback(settings)
    feedback = FeedbackService(store, settings.feedback_days) if store else None

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start()
        if feedback:
            feedback.start()
        event(logging.INFO, "started", model=classifier.id)
        yield
        await asyncio.to_thread(service.stop)
        if feedback:
            await feedback.stop()
        event(logging.INFO, "stopped", model=classifier.id)

    app = FastAPI(
        title="platecheck",
        summary=DESCRIPTION,
        description=INTRODUCTION,
        openapi_tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        version=platecheck.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.feedback = feedback
    app.include_router(api(service, keys, content))
    app.include_router(feedback_api(service, keys, feedback))
    worker, files = service_worker(classifier.fingerprint), PageFiles("page")

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    @app.get("/sw.js", include_in_schema=False)
    async def worker_source() -> Response:  # at the root, so that its scope is the whole page
        return Response(worker, media_type="text/javascript", headers=NO_CACHE)

    app.mount("/page", files)
    mount_docs(app)
    add_error_handlers(app)
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
    return app
